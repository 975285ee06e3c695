"""Refused releases: counted, logged once a minute, and written to the dead letters.

They never stop the scorer, however many there are, unlike other unusable records: the last good release serves.
"""

import time
from collections.abc import Callable

import structlog

from eddy.contract.message import Message
from eddy.errors import PoisonError
from eddy.kafka.dead_letters import LOGGED_DETAIL, DeadLetters
from eddy.metrics import REFUSED_RELEASES

LOG_SEC = 60.0
# Create the labels at 0: Prometheus sees no increase in a counter that appears with 1.
for _reason in ("bad_signature", "bad_release", "contract_mismatch", "wrong_key", "undecodable"):
    REFUSED_RELEASES.labels(_reason)

log = structlog.get_logger()


class RefusedReleases:
    """Until `following` is set, records are read again that a former process has seen: they are not dead-lettered a second time."""

    def __init__(self, dead_letters: DeadLetters, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._dead_letters = dead_letters
        self._monotonic = monotonic
        self._logged_at: dict[str, float] = {}
        self._unlogged: dict[str, int] = {}
        self.following = False

    async def refuse(self, message: Message, error: PoisonError) -> None:
        """Count, log and dead-letter a release."""
        REFUSED_RELEASES.labels(error.reason).inc()
        self._log(message, error)
        if self.following and message.offset >= 0:
            await self._dead_letters.write(message, error)

    def _log(self, message: Message, error: PoisonError) -> None:
        now = self._monotonic()
        if now - self._logged_at.get(error.reason, -LOG_SEC) < LOG_SEC:
            self._unlogged[error.reason] = self._unlogged.get(error.reason, 0) + 1
            return
        self._logged_at[error.reason] = now
        log.warning(
            "release_refused",
            reason=error.reason,
            detail=error.detail[:LOGGED_DETAIL],
            partition=message.partition,
            offset=message.offset,
            not_logged=self._unlogged.pop(error.reason, 0),
        )
