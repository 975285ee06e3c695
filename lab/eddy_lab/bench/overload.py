"""Gateway and scorer at twice the load that they can bear: goodput, refusals, a second caller meanwhile, and the time until all is well.

The capacity is measured first, by callers that wait for each answer, until it grows no more: gateway and scorer take some time to warm up.
Then one address sends twice as much, whatever comes back (an open loop), while an honest caller at another address asks a few times a
second. Kafka, both services and this process share the machine, so compare ratios; where other work shares it too, those per CPU second.
"""

import asyncio
import os
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch

from eddy.kafka.bus import Bus
from eddy.keys import PUBLIC_KEYS, SIGNING_KEY, ensure_keys
from eddy.ready import is_ready
from eddy.settings import Settings, load
from eddy_cli.broker import available_kafka
from eddy_cli.ports import HOST, free_port
from eddy_lab.bench import scorer
from eddy_lab.bench.workers import TIMEOUT_SEC, _cpu_seconds, _start, publish_catalogue

CATALOGUE = 1_700
# More than one batch of the scorer, so that it ranks one while the gateway answers another.
CONNECTIONS = 96
CAPACITY_SEC = 5.0
# The capacity is measured until it has not grown by this factor twice in a row.
STILL_GROWS, MAX_WINDOWS = 1.03, 12
OVERLOAD = 2.0
OVERLOAD_SEC = 20.0
RECOVERY_SEC = 20.0
HONEST_RATE = 5.0
# Connections to 127.0.0.1 come from this address too; the honest caller uses another one of the loopback network.
ATTACKER, HONEST = "127.0.0.1", "127.0.0.2"
GIVE_UP_SEC = 10.0
USEFUL_SEC = 3.0  # deadline and grace period: nobody waits longer for recommendations
RETRY_SEC = 0.2
MAX_OPEN = 4000


@dataclass(frozen=True)
class _Answer:
    sent_at: float
    seconds: float
    status: int  # 0: none

    @property
    def useful(self) -> bool:
        return self.status == 200 and self.seconds <= USEFUL_SEC


@dataclass
class _Caller:
    """Asks for recommendations from an address, over as many connections as it needs."""

    port: int
    address: str
    answers: list[_Answer] = field(default_factory=list)
    _idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)
    _asked: int = 0
    _open: int = 0

    async def ask(self) -> _Answer:
        """Send one request and wait for its answer, at most GIVE_UP_SEC."""
        self._asked += 1
        self._open += 1
        sent_at, status = time.perf_counter(), 0
        with suppress(OSError, TimeoutError, EOFError, ValueError, asyncio.IncompleteReadError):
            async with asyncio.timeout(GIVE_UP_SEC):
                status = await self._exchange(
                    f"/v1/recommendations/u{self._asked % scorer.USERS}?scenario=video&limit=10"
                )
        self._open -= 1
        answer = _Answer(sent_at, time.perf_counter() - sent_at, status)
        self.answers.append(answer)
        return answer

    async def _exchange(self, path: str) -> int:
        while self._idle and self._idle[-1][0].at_eof():  # the server has closed it
            self._idle.pop()[1].close()
        reader, writer = (
            self._idle.pop()
            if self._idle
            else await asyncio.open_connection(HOST, self.port, local_addr=(self.address, 0))
        )
        kept = False
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            kept = b"connection: close" not in head
            return int(head.split(b" ", 2)[1])
        finally:
            if kept:
                self._idle.append((reader, writer))
            else:
                writer.close()

    async def closed_loop(self, connections: int, seconds: float) -> None:
        """Ask over each connection, one request after the other."""
        end = time.perf_counter() + seconds

        async def one() -> None:
            while time.perf_counter() < end:
                if (await self.ask()).status != 200:
                    await asyncio.sleep(RETRY_SEC)

        await asyncio.gather(*(one() for _ in range(connections)))

    async def open_loop(self, rate: float, seconds: float) -> None:
        """Ask `rate` times a second, however many answers are outstanding; what waits at the end is given up."""
        start, sent = time.perf_counter(), 0
        tasks: set[asyncio.Task[_Answer]] = set()
        while (elapsed := time.perf_counter() - start) < seconds:
            for _ in range(round(elapsed * rate) - sent):
                sent += 1
                if self._open < MAX_OPEN:
                    task = asyncio.create_task(self.ask())
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                else:
                    self.answers.append(_Answer(time.perf_counter(), GIVE_UP_SEC, 0))
            await asyncio.sleep(0.005)
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.close()

    def close(self) -> None:
        """Close the idle connections."""
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()


def run() -> dict[str, float]:
    """Capacity, and what becomes of it at twice the load."""
    torch.set_num_threads(1)
    ensure_keys(SIGNING_KEY, PUBLIC_KEYS)
    with available_kafka() as servers:
        return asyncio.run(_measure(servers))


async def _measure(servers: str) -> dict[str, float]:
    environment = {
        "EDDY_KAFKA_BOOTSTRAP_SERVERS": servers,
        "EDDY_TOPIC_PREFIX": f"bench-{uuid.uuid4().hex[:8]}.",
        "EDDY_GATEWAY_RATE_LIMIT": "",
    }
    bus = Bus(load(Settings, environment))
    await bus.create_topics()
    try:
        async with bus.producer(linger_ms=5) as producer:
            await publish_catalogue(bus, producer, CATALOGUE)
        async with _serving(environment) as (port, processes):
            return await _play(port, lambda: _cpu_seconds(processes))
    finally:
        await bus.delete_topics()


async def _capacity(port: int, cpu_seconds: Callable[[], float]) -> tuple[float, float, float]:
    """Recommendations per second and per CPU second of both services, and the median time, once warm."""
    callers = _Caller(port, ATTACKER)
    best, since_best, windows = 0.0, 0, 0
    while True:
        callers.answers.clear()
        started, cpu_before = time.perf_counter(), cpu_seconds()
        await callers.closed_loop(CONNECTIONS, CAPACITY_SEC)
        took_sec, cpu_sec = time.perf_counter() - started, cpu_seconds() - cpu_before
        times = [answer.seconds for answer in callers.answers if answer.useful]
        rate = len(times) / took_sec
        since_best, windows = 0 if rate > STILL_GROWS * best else since_best + 1, windows + 1
        best = max(best, rate)
        if since_best == 2 or windows == MAX_WINDOWS:
            callers.close()
            return best, len(times) / cpu_sec, median(times or [float("inf")])


async def _play(port: int, cpu_seconds: Callable[[], float]) -> dict[str, float]:
    capacity, per_cpu_sec, usual_sec = await _capacity(port, cpu_seconds)
    attacker, honest = _Caller(port, ATTACKER), _Caller(port, HONEST)
    started, cpu_before = time.perf_counter(), cpu_seconds()
    await asyncio.gather(
        attacker.open_loop(OVERLOAD * capacity, OVERLOAD_SEC), honest.open_loop(HONEST_RATE, OVERLOAD_SEC)
    )
    overload_cpu_sec = cpu_seconds() - cpu_before
    useful = sum(answer.useful for answer in attacker.answers + honest.answers)
    # Without the first seconds, in which queues fill.
    flood = [answer for answer in attacker.answers if answer.sent_at > started + 5]
    ended = max(answer.sent_at + answer.seconds for answer in flood)
    goodput = sum(
        answer.useful and answer.sent_at + answer.seconds > started + 5 for answer in attacker.answers + honest.answers
    ) / (ended - started - 5)
    accepted = [answer.seconds for answer in flood if answer.useful] or [float("inf")]
    honest_times = [answer.seconds for answer in honest.answers if answer.useful] or [float("inf")]

    after = _Caller(port, HONEST)
    began = time.perf_counter()
    await after.open_loop(HONEST_RATE, RECOVERY_SEC)
    bad = [answer.sent_at - began for answer in after.answers if not answer.useful or answer.seconds > 2 * usual_sec]
    return {
        "capacity, lists/s": capacity,
        "median at capacity, s": usual_sec,
        f"offered, share of capacity over {OVERLOAD_SEC:g} s": len(attacker.answers) / OVERLOAD_SEC / capacity,
        "goodput at twice the load, lists/s": goodput,
        "goodput, share of capacity": goodput / capacity,
        "capacity, lists per CPU second of both services": per_cpu_sec,
        "goodput per CPU second, share of that at capacity": useful / overload_cpu_sec / per_cpu_sec,
        "refused with 429 or 503, share": sum(answer.status in (429, 503) for answer in flood) / len(flood),
        "without a useful answer, share": sum(not answer.useful and answer.status not in (429, 503) for answer in flood)
        / len(flood),
        "median of accepted, s": median(accepted),
        "95th percentile of accepted, s": sorted(accepted)[int(0.95 * (len(accepted) - 1))],
        "honest caller answered, share": sum(answer.useful for answer in honest.answers) / len(honest.answers),
        "median of the honest caller, s": median(honest_times),
        "until it answers as before, s": max(bad, default=0.0),
    }


@asynccontextmanager
async def _serving(environment: dict[str, str]) -> AsyncIterator[tuple[int, list["subprocess.Popen[bytes]"]]]:
    """Run a scorer and a gateway; the port of the gateway, and both processes."""
    ports = {service: free_port() for service in ("scorer", "gateway")}
    with TemporaryDirectory() as folder:
        processes = [
            _start(
                service,
                {
                    **os.environ,
                    **environment,
                    "EDDY_STATE_DIR": folder,
                    "EDDY_LOG_LEVEL": "warning",
                    f"EDDY_{service.upper()}_HTTP_PORT": str(port),
                },
                Path(folder) / f"{service}.log",
            )
            for service, port in ports.items()
        ]
        try:
            async with asyncio.timeout(TIMEOUT_SEC):
                while not all(is_ready(f"http://{HOST}:{port}") for port in ports.values()):  # noqa: ASYNC110  # only HTTP tells
                    await asyncio.sleep(0.2)
            yield ports["gateway"], processes
        finally:
            for process in processes:
                process.kill()
                process.wait()
