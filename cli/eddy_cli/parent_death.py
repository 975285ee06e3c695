"""Run a command that dies with its parent, even when the parent is killed by SIGKILL.

    python -I -S cli/eddy_cli/parent_death.py PARENT_PID COMMAND [ARGUMENT ...]

Linux tells a process of its parent's death (prctl(2), PR_SET_PDEATHSIG), and keeps doing so across exec. Imported by nothing
but its own command line, so that it starts in a few milliseconds. Elsewhere than on Linux the command simply runs.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1


def bound_to_parent(command: Sequence[str]) -> list[str]:
    """`command`, to be started by this very process, and killed when the thread that starts it ends."""
    return [sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(os.getpid()), *command]


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel send SIGKILL to this process when its parent ends; exit now if `parent_pid` has ended already."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(128 + signal.SIGKILL)


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    try:
        os.execvp(sys.argv[2], sys.argv[2:])
    except OSError as error:
        print(f"cannot run {sys.argv[2]}: {error.strerror}", file=sys.stderr)
        sys.exit(127)
