"""Runs a command that ends with its parent, even if the parent is killed by SIGKILL.

    python -I -S cli/eddy_cli/parent_death.py PARENT_PID COMMAND [ARGUMENT ...]

Linux signals the death of a parent (prctl(2), PR_SET_PDEATHSIG), also after exec. The module imports nothing of Eddy, so that it starts
in a few milliseconds. On other systems the command runs without this protection.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1


def bound_to_parent(command: Sequence[str]) -> list[str]:
    """`command`, wrapped so that it is killed with the thread of this process that starts it."""
    return [sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(os.getpid()), *command]


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent ends; exit at once if `parent_pid` has already ended."""
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
