"""Several processes as one: logs prefixed by name, all down together, nothing left behind. honcho's Manager, adapted here.

What is added to honcho: no shell; a process dies with the manager even when that is killed; a deadline for those who do not
stop when asked; an exit code that shows failure whichever way a process went.
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
        """Add a process that should outlast the main one: if it ends by itself, that is a failure."""
        self.add_process(name, list(command), env=dict(environment))

    def add_main(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Add the process whose end ends the group, with its exit code. On a terminal it owns the terminal, for its progress bar."""
        self._main = name
        process = self.add_process(name, list(command), env=dict(environment))
        if sys.stdout.isatty():
            process.in_foreground()

    def watch(self, watcher: Callable[[], None]) -> None:
        """Run `watcher` in a thread of its own once all processes are started."""
        self._watchers.append(watcher)

    def run(self) -> int:
        """Start all, wait until the first ends or SIGINT, SIGTERM or SIGHUP comes, stop the others.

        The exit code is that of the first that ended: 128 + n where signal n killed it or was received, 1 where a process
        ended with 0 that should not have ended.
        """
        signal.signal(signal.SIGHUP, self._hang_up)
        try:
            self.loop()
        finally:
            self._kill_runners()
        return self._exit_code()

    def fail(self, reason: str) -> None:
        """Stop all, with exit code 1, for a reason from outside. From any thread."""
        if not self._terminating:
            self._system_print(f"{reason}\n")
            self.returncode = 1
            self.terminate()

    def say(self, text: str) -> None:
        """A line of the manager's own among the logs."""
        self._system_print(f"{text}\n")

    @property
    def stopping(self) -> bool:
        return bool(self._terminating)

    def terminate(self) -> None:
        """Have all stopped, soon: also called by signal handlers, before every process may have started."""
        self._terminating = True

    def kill(self) -> None:
        """honcho's own deadline does nothing: `_stop_all` has one that also holds for processes that never end."""

    def _start(self) -> None:
        super()._start()
        for work in (self._stop_all, *self._watchers):
            threading.Thread(target=work, daemon=True).start()

    def _stop_all(self) -> None:
        while not self._terminating:
            time.sleep(_TICK_SEC)
        deadline = time.monotonic() + self._stop_timeout_sec
        asked: set[str] = set()
        while not self._all_stopped():
            late = time.monotonic() > deadline
            for name, entry in self._processes.items():
                if "pid" in entry and "returncode" not in entry and (late or name not in asked):
                    asked.add(name)
                    (self._procmgr.kill if late else self._procmgr.terminate)(entry["pid"])
            time.sleep(_TICK_SEC)

    def _kill_runners(self) -> None:
        """Whatever went wrong in the loop, no process survives it: each is bound_to_parent to its runner."""
        for entry in self._processes.values():
            if "process" in entry:
                entry["process"].kill()
                entry["process"].join()

    def _exit_code(self) -> int:
        code = int(self.returncode or 0)
        if code < 0:
            return 128 - code
        main_ended_well = self._main is not None and self._processes[self._main].get("returncode") == 0
        return code if code or main_ended_well else 1

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
        """In the runner. Ctrl-C reaches it too; only the manager may act on it. A handler, not SIG_IGN, which the process would inherit."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        die_with_parent(self._manager_pid)
        self.cmd = bound_to_parent(self.cmd)
        super().run(events, ignore_signals)


class _Foreground(Popen):  # type: ignore[misc]  # honcho has no type stubs
    """Writes to the terminal itself, so there is no output to read."""

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        super().__init__(command, shell=False, stdout=None, stderr=None, **options)
        self.stdout = io.BytesIO()
