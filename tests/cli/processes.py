"""Starts commands and tracks all processes that they start."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psutil

from eddy.paths import REPO_ROOT
from tests.poll import poll_until_sync
from tests.tiers import starts_a


@dataclass
class Command:
    """A running `python -m ...` and the output it has given so far (stdout and stderr)."""

    process: "subprocess.Popen[str]"
    output: str = ""
    family: set[psutil.Process] = field(default_factory=set)

    def read_until(self, text: str) -> None:
        """Read lines until one holds `text`, then remember all processes there are by now."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            if text in line:
                own = psutil.Process(self.process.pid)
                self.family |= {own, *own.children(recursive=True)}
                return
        raise AssertionError(f"ended with {self.process.wait()} before it said {text!r}:\n{self.output}")

    def finish(self, timeout_sec: float = 30) -> int:
        """Read what is left and wait for the end."""
        rest, _ = self.process.communicate(timeout=timeout_sec)
        self.output += rest
        return self.process.returncode

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def send_group(self, number: signal.Signals) -> None:
        """As a terminal sends it: to every process of the foreground group."""
        os.killpg(self.process.pid, number)

    def assert_nothing_left(self, timeout_sec: float = 10) -> None:
        """Every process ever seen has ended."""
        poll_until_sync(lambda: not _alive(self.family), timeout_sec, what=f"all of {self.family} have ended")


@contextmanager
def command(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None, without: Sequence[str] = ()
) -> Iterator[Command]:
    """Run `python <arguments>` in a session of its own, from the root of the repository; killed with its family at the end.

    `environment` is added to this process's own, `without` is taken from it.
    """
    starts_a("broker")
    inherited = {name: value for name, value in os.environ.items() if name not in without}
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=REPO_ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**inherited, **(environment or {})},
    )
    running = Command(process)
    try:
        yield running
    finally:
        for member in _alive(running.family):
            with suppress(psutil.NoSuchProcess):
                member.kill()
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _alive(family: set[psutil.Process]) -> list[psutil.Process]:
    return [member for member in family if member.is_running() and member.status() != psutil.STATUS_ZOMBIE]
