"""Temporary folders of a process, deleted at its end; those of killed processes are deleted by the next one."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eddy.errors import FatalError
from eddy.paths import RUNS

_OWNER = "owner.lock"


@contextmanager
def scratch_folder(name: str, parent: Path = RUNS) -> Iterator[Path]:
    """A new folder below `parent`, deleted at the end.

    Its process holds a file lock in it, which the kernel releases with the process. An unlocked folder belongs to a killed process; every
    call deletes such folders first. Raises FatalError for a folder that cannot be written.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with _locked(parent / "sweep.lock"):
            _sweep(parent)
            folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
            owner = os.open(folder / _OWNER, os.O_CREAT | os.O_RDWR)
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise FatalError(f"cannot write to {parent} ({error.strerror}): free some space or change its owner") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(owner)


def _sweep(parent: Path) -> None:
    for lock in parent.glob(f"*/{_OWNER}"):
        descriptor = os.open(lock, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            shutil.rmtree(lock.parent, ignore_errors=True)
        finally:
            os.close(descriptor)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
