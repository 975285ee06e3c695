"""Scorers as processes of their own, and what goes in and comes out of them."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from services.scorer.settings import ScorerSettings
from shared.codec import Codec, Record
from shared.kafka import Bus, Message, settle
from shared.paths import REPO_ROOT
from shared.settings import load
from shared.topics import DEAD_LETTERS, RECOMMENDATION_REQUESTS, RECOMMENDATIONS, topics
from tests.poll import poll_until


@dataclass
class Running:
    """A scorer that was started."""

    process: "subprocess.Popen[bytes]"
    port: int

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    async def ready(self) -> None:
        await poll_until(lambda: asyncio.to_thread(self._get, "/readyz"), timeout_sec=60, what="scorer ready")

    async def metric(self, name: str, labels: str = "") -> float:
        """Sum of a metric's samples whose labels contain `labels`."""
        text = await asyncio.to_thread(self._get, "/metrics") or ""
        found = re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE)
        return sum(float(value) for own, value in found if labels in own)

    def _get(self, path: str) -> str | None:
        """The body of a 200, else None."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            return None


@dataclass
class Answers:
    """Lists as they come, by request id."""

    lists: dict[str, list[Record]] = field(default_factory=dict)

    async def to(self, request_id: str, timeout_sec: float = 20.0) -> Record:
        """The first list for a request."""
        await poll_until(lambda: request_id in self.lists, timeout_sec, 0.002, what=f"a list for {request_id}")
        return self.lists[request_id][0]

    async def to_all(self, request_ids: Sequence[str], timeout_sec: float = 60.0) -> None:
        """Wait until each has a list."""

        def missing() -> list[str]:
            return [each for each in request_ids if each not in self.lists]

        await poll_until(lambda: not missing(), timeout_sec, what="lists for all requests")


class Place:
    """One Eddy of a test: brokers, prefix, partitions, and logs of each process that is started."""

    def __init__(self, kafka: str, topic_prefix: str, folder: Path, partitions: int = 2) -> None:
        self._folder = folder
        self._environment = {
            "EDDY_KAFKA_BOOTSTRAP_SERVERS": kafka,
            "EDDY_TOPIC_PREFIX": topic_prefix,
            "EDDY_TOPIC_PARTITIONS": str(partitions),
        }
        self.bus = Bus(load(ScorerSettings, self._environment))
        self._started = 0

    @contextmanager
    def scorer(self, **settings: str) -> Iterator[Running]:
        """A scorer on an empty disk; killed at the end if it still runs."""
        self._started += 1
        port = _free_port()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("EDDY_")}
        with (self._folder / f"scorer-{self._started}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "services.scorer"],
                cwd=REPO_ROOT,
                env={
                    **environment,
                    **self._environment,
                    "EDDY_STATE_DIR": str(self._folder / f"state-{self._started}"),
                    "EDDY_SCORER_HTTP_PORT": str(port),
                    **{f"EDDY_SCORER_{name.upper()}": value for name, value in settings.items()},
                },
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            yield Running(process, port)
        finally:
            process.kill()
            process.wait()

    def logs(self) -> str:
        """What all scorers wrote, for a failing test to show."""
        return "\n".join(path.read_text()[-3000:] for path in sorted(self._folder.glob("*.log")))

    async def publish(self, topic: str, *records: Record) -> list[int]:
        """Write records under their keys; the end offset of each partition that they went to, 0 for others."""
        codec, key = Codec.for_topic(topic), topics()[topic].key
        return await self.publish_raw(topic, *[(record[key].encode(), codec.encode(record)) for record in records])

    async def publish_raw(self, topic: str, *records: tuple[bytes | None, bytes | None]) -> list[int]:
        """Write bytes under keys."""
        async with self.bus.producer() as producer:
            written = await settle([await producer.send(topic, key, value) for key, value in records])
        ends = [0] * self.bus.partitions
        for metadata in written:
            ends[metadata.partition] = max(ends[metadata.partition], metadata.offset + 1)
        return ends

    async def ask(self, *requests: Record) -> None:
        await self.publish(RECOMMENDATION_REQUESTS, *requests)

    @asynccontextmanager
    async def answers(self) -> AsyncIterator[Answers]:
        """Collect lists from the beginning of the topic until the block ends."""
        found = Answers()
        collecting = asyncio.create_task(self._collect(found))
        try:
            yield found
        finally:
            collecting.cancel()
            await asyncio.gather(collecting, return_exceptions=True)

    async def dead_letters(self) -> list[Record]:
        codec = Codec.for_topic(DEAD_LETTERS)
        return [codec.decode(message.value) for message in await self._everything(DEAD_LETTERS)]

    async def _collect(self, found: Answers) -> None:
        codec = Codec.for_topic(RECOMMENDATIONS)
        async with self.bus.reader(self.bus.topic_partitions(RECOMMENDATIONS)) as reader:
            while True:
                for message in await reader.batch():
                    record = codec.decode(message.value)
                    found.lists.setdefault(record["request_id"], []).append(record)

    async def _everything(self, topic: str) -> list[Message]:
        partitions = self.bus.topic_partitions(topic)
        async with self.bus.reader(partitions) as reader:
            ends = await reader.end_offsets(partitions)
            found: list[Message] = []
            while not await reader.at_end(ends):
                found += await reader.batch()
        return found


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
