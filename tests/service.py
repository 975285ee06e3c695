"""Starts, queries and stops services as processes."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eddy.contract.message import Message
from eddy.kafka.bus import Bus
from eddy.paths import REPO_ROOT
from eddy_cli.ports import HOST, free_port
from tests.forked import Forked, fork
from tests.poll import poll_until, poll_until_sync
from tests.release_keys import key_settings
from tests.tiers import starts_a

READY_SEC = 120


@dataclass
class Service:
    """A started service."""

    process: "subprocess.Popen[bytes] | Forked"
    port: int
    log: Path

    def kill(self) -> None:
        """Kill by SIGKILL and wait for the end."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Stop by SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def is_ready(self) -> bool:
        return self.answer("/readyz") is not None

    async def ready(self, timeout_sec: float = 60) -> dict[str, Any]:
        """The body of /readyz once its status is 200. Raises AssertionError with the log if the process ends before."""

        def answer() -> str | None:
            return self.answer("/readyz") if _is_alive_and_ready(self) else None

        return dict(json.loads(await poll_until(answer, timeout_sec, what=f"{self.log.stem} ready") or ""))

    def metric(self, name: str, labels: str = "") -> float:
        """Sum of a metric's samples whose labels contain `labels`; 0 without samples."""
        samples = re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", self.answer("/metrics") or "", re.MULTILINE)
        return sum(float(value) for sample_labels, value in samples if labels in sample_labels)

    def answer(self, path: str) -> str | None:
        """The body of an answer with status 200, otherwise None."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}{path}", timeout=20) as answer:
                return str(answer.read().decode())
        except OSError:
            return None

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The JSON of the answer, for any status."""
        request = urllib.request.Request(
            f"http://{HOST}:{self.port}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return dict(json.loads(answer.read()))
        except urllib.error.HTTPError as refused:
            return dict(json.loads(refused.read()))


@contextmanager
def running(
    service: str, environment: Mapping[str, str], log: Path, *, warnings_are_errors: bool = False, new: bool = False
) -> Iterator[Service]:
    """Start a service on a free port with `environment` as its only EDDY_* variables; killed at the end if it still runs.

    What it writes goes to `log`. It is forked from a process that has imported it (tests/forked.py); with `new` it is
    `python -m eddy_<service>`, which tests its imports too.
    """
    starts_a("stack")
    port = free_port()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("EDDY_")}
    own = {**key_settings(log.parent), f"EDDY_{service.upper()}_HTTP_PORT": str(port)}
    start = _start_new if new else fork
    process = start(service, {**inherited, **own, **environment}, log, warnings_are_errors=warnings_are_errors)
    try:
        yield Service(process, port, log)
    finally:
        process.kill()
        process.wait()


def _start_new(
    service: str, environment: Mapping[str, str], log: Path, *, warnings_are_errors: bool
) -> "subprocess.Popen[bytes]":
    options = ["-W", "error"] if warnings_are_errors else []
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, *options, "-m", f"eddy_{service}"],
            cwd=REPO_ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


@contextmanager
def running_together(
    services: Iterable[str], environment: Mapping[str, str], folder: Path, **own: Mapping[str, str]
) -> Iterator[dict[str, Service]]:
    """Start several services, each with further variables in `own` and a log in `folder`, and wait until all are ready."""
    with ExitStack() as stack:
        started = {
            name: stack.enter_context(running(name, {**environment, **own.get(name, {})}, folder / f"{name}.log"))
            for name in services
        }
        for name, service in started.items():
            poll_until_sync(lambda service=service: _is_alive_and_ready(service), READY_SEC, what=f"{name} ready")
        yield started


def _is_alive_and_ready(service: Service) -> bool:
    assert service.process.poll() is None, f"ended before it was ready:\n{service.log.read_text()[-3000:]}"
    return service.is_ready()


def own_settings(service: str, settings: Mapping[str, str]) -> dict[str, str]:
    """Environment variables of a service's settings, given by short names."""
    return {f"EDDY_{service.upper()}_{name.upper()}": value for name, value in settings.items()}


def logs_in(folder: Path) -> str:
    """The ends of the services' logs, for the message of a failing test."""
    return "\n".join(path.read_text()[-3000:] for path in sorted(folder.glob("*.log")))


async def filled_slate(gateway: Service, path: str, items: int) -> dict[str, Any]:
    """The first answer with at least so many items, as the scorer reads published items with a delay."""

    def request() -> dict[str, Any] | None:
        answer = gateway.ask("GET", path)
        return answer if len(answer.get("items", ())) >= items else None

    return await poll_until(request, what=f"{items} items in {path}") or {}


async def read_all(bus: Bus, topic: str) -> list[Message]:
    """All committed records of a topic, in order within each partition."""
    partitions = bus.topic_partitions(topic)
    async with bus.reader(partitions) as reader:
        ends = await reader.end_offsets(partitions)
        messages: list[Message] = []
        while not await reader.at_end(ends):
            messages += await reader.batch(max_records=10_000)
    return messages
