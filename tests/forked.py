"""Starts services from a fork server that has imported all of them.

Importing a service costs a second of CPU, the trainer four; a fork costs a thirtieth. Everything else is as with
`python -m eddy_<service>`: a process of its own, with its own environment, log, signals and exit code.
"""

import os
import runpy
import signal
import subprocess
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from eddy.paths import REPO_ROOT
from eddy_lab.evaluate.child_process import CONTEXT, PRELOADED

SERVICES = ("gateway", "features", "scorer", "joiner", "trainer")

# A process has one fork server. The benchmarks use it too, and their import sets what it preloads: it comes first.
CONTEXT.set_forkserver_preload(["tests.preloaded", *PRELOADED])


@dataclass
class Forked:
    """A forked process, with the part of subprocess.Popen's interface that tests use."""

    process: ForkServerProcess

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, minus the signal's number after a signal; None while the process runs."""
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; returns the exit code. Raises subprocess.TimeoutExpired."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired(self.process.name, timeout or 0)
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def fork(service: str, environment: Mapping[str, str], log: Path, *, warnings_are_errors: bool = False) -> Forked:
    """Start a service with `environment` as its whole environment; stdout and stderr go to `log`."""
    # Daemonic, so that the end of the tests ends it.
    process = CONTEXT.Process(
        target=_serve, args=(service, dict(environment), log, warnings_are_errors), name=service, daemon=True
    )
    process.start()
    return Forked(process)


def _serve(service: str, environment: dict[str, str], log: Path, warnings_are_errors: bool) -> None:
    assert "tests.preloaded" in sys.modules, "the fork server could not import tests.preloaded"
    Path("/proc/self/comm").write_text(f"eddy_{service}")  # for ps and top
    os.chdir(REPO_ROOT)
    os.environ.clear()
    os.environ.update(environment)
    with log.open("wb") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    if warnings_are_errors:
        warnings.simplefilter("error")
    runpy.run_module(f"eddy_{service}", run_name="__main__", alter_sys=True)
