"""Runs several processes as a group: prefixed logs, common end. Extends honcho's Manager.

Added to honcho: no shell; processes end with the manager even if that is killed; a deadline for processes that do not stop; an exit
code that shows every kind of failure.
"""

import io
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import FrameType
from typing import Any

from honcho.manager import Manager
from honcho.process import Popen, Process

from eddy_cli.parent_death import bound_to_parent, die_with_parent

STOP_TIMEOUT_SEC = 10.0
_TICK_SEC = 0.05


class ProcessGroup(Manager):  # type: ignore[misc]  # honcho has no type stubs
    """Add processes, then `run` them once, from the main thread."""

    def __init__(self, stop_timeout_sec: float = STOP_TIMEOUT_SEC) -> None:
        # honcho hands live objects to its runners, which only fork does; later Pythons would use another method.
        multiprocessing.set_start_method("fork", force=True)
        super().__init__()
        self._stop_timeout_sec = stop_timeout_sec
        self._main: str | None = None
        self._watchers: list[Callable[[], None]] = []
        self._process_ctor = _Member

    def add(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Add a process that should run until the group stops: if it ends earlier, that is a failure."""
        self.add_process(name, list(command), env=dict(environment))

    def add_main(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Add the process whose end ends the group, with its exit code. It writes to the terminal itself, for its progress bar."""
        self._main = name
        process = self.add_process(name, list(command), env=dict(environment))
        if sys.stdout.isatty():
            process.in_foreground()

    def watch(self, watcher: Callable[[], None]) -> None:
        """Run `watcher` in its own thread after all processes are started."""
        self._watchers.append(watcher)

    def run(self) -> int:
        """Start all processes, wait for the end of the first one or for SIGINT, SIGTERM or SIGHUP, then stop the others.

        The exit code is that of the first process that ended: 128 + n if signal n killed it or was received, 1 if it ended with 0 too
        early.
        """
        signal.signal(signal.SIGHUP, self._hang_up)
        try:
            self.loop()
        finally:
            self._kill_runners()
        return self._exit_code()

    def fail(self, reason: str) -> None:
        """Stop all processes with exit code 1 and print the reason. Callable from any thread."""
        if not self._terminating:
            self._system_print(f"{reason}\n")
            self.returncode = 1
            self.terminate()

    def say(self, text: str) -> None:
        """Print a line among the logs."""
        self._system_print(f"{text}\n")

    @property
    def stopping(self) -> bool:
        return bool(self._terminating)

    def terminate(self) -> None:
        """Request the end of all processes. Signal handlers may call this before all are started."""
        self._terminating = True

    def kill(self) -> None:
        """Disable honcho's own deadline: `_stop_all` has one that also ends processes that never stop."""

    def _start(self) -> None:
        super()._start()
        for target in (self._stop_all, *self._watchers):
            threading.Thread(target=target, daemon=True).start()

    def _stop_all(self) -> None:
        while not self._terminating:
            time.sleep(_TICK_SEC)
        deadline = time.monotonic() + self._stop_timeout_sec
        terminated: set[str] = set()
        while not self._all_stopped():
            overdue = time.monotonic() > deadline
            for name, entry in self._processes.items():
                if "pid" in entry and "returncode" not in entry and (overdue or name not in terminated):
                    terminated.add(name)
                    (self._procmgr.kill if overdue else self._procmgr.terminate)(entry["pid"])
            time.sleep(_TICK_SEC)

    def _kill_runners(self) -> None:
        """End all processes, also after an error in the loop: each process ends with its runner."""
        for entry in self._processes.values():
            if "process" in entry:
                entry["process"].kill()
                entry["process"].join()

    def _exit_code(self) -> int:
        code = int(self.returncode or 0)
        if code < 0:
            return 128 - code
        main_succeeded = self._main is not None and self._processes[self._main].get("returncode") == 0
        return code if code or main_succeeded else 1

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        self.returncode = 128 + signal.SIGHUP
        self.terminate()


class _Member(Process):  # type: ignore[misc]  # honcho has no type stubs
    """A process and its runner: the fork of the manager that reads the process's output and waits for it."""

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        super().__init__(command, **options)
        self.cmd: Sequence[str] = command
        self._manager_pid = os.getpid()
        self._child_ctor: Any = partial(Popen, shell=False, stdin=subprocess.DEVNULL)

    def in_foreground(self) -> None:
        self._child_ctor = _Foreground

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        """Run in the runner. It ignores signals, as the manager handles them, by a handler: the process would inherit SIG_IGN."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        die_with_parent(self._manager_pid)
        self.cmd = bound_to_parent(self.cmd)
        super().run(events, ignore_signals)


class _Foreground(Popen):  # type: ignore[misc]  # honcho has no type stubs
    """A process that writes to the terminal itself, without output to read."""

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        super().__init__(command, shell=False, stdout=None, stderr=None, **options)
        self.stdout = io.BytesIO()
