"""Scratch folders that belong to one process: gone when it ends, and swept by the next one when it was killed."""

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
    """A new folder below `parent`, removed at the end.

    Its owner holds a file lock in it. The kernel drops the lock with the process, so an unlocked folder is one whose owner
    was killed: every call sweeps those first. Raises FatalError when the disk cannot be written.
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
