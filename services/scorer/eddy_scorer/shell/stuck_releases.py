"""Releases whose graphs never loaded: their digests are kept on disk, so that no restart loads one of them again."""

import hashlib
from pathlib import Path

import structlog

from eddy.errors import PoisonError

MAX_DIGESTS = 1000

log = structlog.get_logger()


class StuckReleases:
    """The file `path`: a digest in each line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._digests = path.read_text().split()[-MAX_DIGESTS:]
        except (OSError, UnicodeDecodeError):
            self._digests = []

    def check(self, value: bytes) -> None:
        """Raise PoisonError for a record that was added before."""
        if _digest(value) in self._digests:
            raise PoisonError("bad_release", f"the graphs never loaded before ({self._path}). Publish another release.")

    def add(self, value: bytes) -> None:
        """Refuse this record from now on. A full or read-only disk is logged."""
        self._digests = [*self._digests, _digest(value)][-MAX_DIGESTS:]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text("\n".join(self._digests) + "\n")
        except OSError as error:
            log.warning("stuck_release_not_noted", path=str(self._path), error=repr(error))


def _digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()
