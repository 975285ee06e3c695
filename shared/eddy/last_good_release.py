"""A copy of the newest good release of a process, for when the topic holds none. Its signature is checked like that of any other."""

import os
from pathlib import Path

import structlog

from eddy.contract.message import Message
from eddy.contract.releases import CHAMPION
from eddy.contract.topics import MODEL_RELEASES
from eddy.set_aside import set_aside

log = structlog.get_logger()

LOCAL = -1  # partition and offset of a message that was not read from Kafka


class LastGoodRelease:
    """The file `path`: the release record as it is in Kafka."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def save(self, value: bytes) -> None:
        """Replace the copy atomically. A full or read-only disk is logged: the copy is a precaution."""
        draft = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(value)
            draft.replace(self._path)
        except OSError as error:
            log.warning("release_not_copied", path=str(self._path), error=repr(error))

    def load(self) -> Message | None:
        """The copy as a message; None if there is none."""
        try:
            value = self._path.read_bytes()
        except OSError:
            return None
        return Message(MODEL_RELEASES, LOCAL, LOCAL, CHAMPION.encode(), value, 0)

    def set_aside(self, problem: Exception) -> None:
        """Set aside a copy that cannot be used."""
        set_aside(self._path, str(problem))
