"""A service as a process of its own, as tests start, ask and end it."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.ports import HOST, free_port
from shared.kafka import Bus, Message
from shared.paths import REPO_ROOT
from tests.poll import poll_until


@dataclass
class Service:
    """A service that was started."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path

    def kill(self) -> None:
        """SIGKILL, and wait for the end: nothing is closed, nothing is said."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def is_ready(self) -> bool:
        return self.answer("/readyz") is not None

    async def ready(self, timeout_sec: float = 60) -> dict[str, Any]:
        """What /readyz says once it says 200. Raises AssertionError, with the log, when the process ends before."""

        def answer() -> str | None:
            assert self.process.poll() is None, f"ended before it was ready:\n{self.log.read_text()[-3000:]}"
            return self.answer("/readyz")

        return dict(json.loads(await poll_until(answer, timeout_sec, what=f"{self.log.stem} ready") or ""))

    def metric(self, name: str, labels: str = "") -> float:
        """Sum of a metric's samples whose labels contain `labels`; 0 where there is none."""
        found = re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", self.answer("/metrics") or "", re.MULTILINE)
        return sum(float(value) for own, value in found if labels in own)

    def answer(self, path: str) -> str | None:
        """The body of a 200, else None."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}{path}", timeout=20) as answer:
                return str(answer.read().decode())
        except OSError:
            return None

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The JSON that the service answers, whatever the status."""
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
def running(service: str, environment: Mapping[str, str], log: Path, *python_options: str) -> Iterator[Service]:
    """Start `python -m services.<service>` on a free port with `environment` as its only EDDY_* variables; killed at the end if it still
    runs. What it writes goes to `log`."""
    port = free_port()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("EDDY_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *python_options, "-m", f"services.{service}"],
            cwd=REPO_ROOT,
            env={**inherited, f"EDDY_{service.upper()}_HTTP_PORT": str(port), **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Service(process, port, log)
    finally:
        process.kill()
        process.wait()


def own_settings(service: str, settings: Mapping[str, str]) -> dict[str, str]:
    """A service's settings by their short names, as environment variables."""
    return {f"EDDY_{service.upper()}_{name.upper()}": value for name, value in settings.items()}


def logs_in(folder: Path) -> str:
    """What the services of a test wrote, for a failing test to show."""
    return "\n".join(path.read_text()[-3000:] for path in sorted(folder.glob("*.log")))


async def read_all(bus: Bus, topic: str) -> list[Message]:
    """All committed records of a topic by now, in order within each partition."""
    partitions = bus.topic_partitions(topic)
    async with bus.reader(partitions) as reader:
        ends = await reader.end_offsets(partitions)
        found: list[Message] = []
        while not await reader.at_end(ends):
            found += await reader.batch(max_records=10_000)
    return found
