"""Refused releases and embeddings: counted, logged once a minute, and written to the dead letters.

They never stop the scorer, however many there are, unlike other unusable records: the last good release serves.
"""

import time
from collections.abc import Callable

import structlog

from eddy.contract.message import Message
from eddy.errors import PoisonError
from eddy.kafka.dead_letters import LOGGED_DETAIL, DeadLetters
from eddy.metrics import REFUSED_EMBEDDINGS, REFUSED_RELEASES

LOG_SEC = 60.0
# Create the labels at 0: Prometheus sees no increase in a counter that appears with 1.
for _reason in ("bad_signature", "bad_release", "contract_mismatch", "wrong_key", "undecodable"):
    REFUSED_RELEASES.labels(_reason)
REFUSED_EMBEDDINGS.inc(0)

log = structlog.get_logger()


class RefusedReleases:
    """Until `following` is set, records are read again that a former process has seen: they are not dead-lettered a second time."""

    def __init__(self, dead_letters: DeadLetters, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._dead_letters = dead_letters
        self._monotonic = monotonic
        self._logged_at: dict[tuple[str, str], float] = {}
        self._unlogged: dict[tuple[str, str], int] = {}
        self.following = False

    async def refuse(self, message: Message, error: PoisonError) -> None:
        """Count, log and dead-letter a release."""
        REFUSED_RELEASES.labels(error.reason).inc()
        await self._refuse("release_refused", message, error)

    async def refuse_embedding(self, message: Message, error: PoisonError) -> None:
        """As `refuse`, for an embedding that no trainer signed. Any other unusable one is unusable as in every topic."""
        if error.reason != "bad_signature":
            await self._dead_letters.refuse(message, error)
            return
        REFUSED_EMBEDDINGS.inc()
        await self._refuse("embedding_refused", message, error)

    async def _refuse(self, event: str, message: Message, error: PoisonError) -> None:
        self._log(event, message, error)
        if self.following and message.offset >= 0:
            await self._dead_letters.write(message, error)

    def _log(self, event: str, message: Message, error: PoisonError) -> None:
        now, line = self._monotonic(), (event, error.reason)
        if now - self._logged_at.get(line, -LOG_SEC) < LOG_SEC:
            self._unlogged[line] = self._unlogged.get(line, 0) + 1
            return
        self._logged_at[line] = now
        log.warning(
            event,
            reason=error.reason,
            detail=error.detail[:LOGGED_DETAIL],
            partition=message.partition,
            offset=message.offset,
            not_logged=self._unlogged.pop(line, 0),
        )
