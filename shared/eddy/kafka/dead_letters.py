"""The one writer of `dead-letters`: keeps what a service cannot use, counts it, logs it, and stops the service where it is too much."""

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog

from eddy.clock import Clock
from eddy.contract.codec import Codec
from eddy.contract.dead_letter import dead_letter_of
from eddy.contract.message import Message
from eddy.contract.poison import PoisonRuns, position_of
from eddy.contract.topics import DEAD_LETTERS
from eddy.errors import PoisonError
from eddy.kafka.bus import Bus
from eddy.kafka.producer import Producer, settle
from eddy.metrics import DEAD_LETTERS as DEAD_LETTERS_TOTAL

log = structlog.get_logger()

_CODEC = Codec.for_topic(DEAD_LETTERS)
LOGGED_DETAIL = 200  # characters
Refusal = tuple[Message, PoisonError]


class DeadLetters:
    """Dead letters of one service, and how many records in a row (`runs`) it could not use.

    A consumer that goes from record to record calls `good` or `refuse` for each, one that handles batches `judge` for each batch. Who
    writes in a transaction calls `post` in it, and `count` and `runs.check` once it is committed.
    """

    def __init__(self, service: str, bus: Bus, producer: Producer, clock: Clock, runs: PoisonRuns) -> None:
        self._service = service
        self._bus = bus
        self._producer = producer
        self._clock = clock
        self.runs = runs

    def note_usable(self, message: Message) -> None:
        """Note a usable record."""
        self.runs.note_usable(message)

    async def refuse(self, message: Message, error: PoisonError) -> "asyncio.Future[Any]":
        """Queue the letter of an unusable record; the future ends when it is kept. Raises FatalError for one too many in a row."""
        self.runs.note_unusable(message, error.reason)
        self.count(message, error)
        kept = await self.write(message, error)
        self.runs.check()
        return kept

    async def refuse_batch(self, messages: Sequence[Message], refusals: Sequence[Refusal]) -> None:
        """Write the letters of a batch's unusable records and wait until they are kept; all others of the batch are usable.

        `messages` are in order within each partition. Raises FatalError where there are too many unusable ones in a row.
        """
        self.runs.note_batch(messages, {position_of(message): error.reason for message, error in refusals})
        for message, error in refusals:
            self.count(message, error)
        await settle([await self.write(message, error) for message, error in refusals])
        self.runs.check()

    async def write(self, message: Message, error: PoisonError) -> "asyncio.Future[Any]":
        """Queue a letter, which is not counted; the future ends when it is kept."""
        source = self._bus.full_name(message.topic)
        letter = dead_letter_of(message, error, self._service, source, self._clock.now_ms())
        return await self._producer.send(DEAD_LETTERS, source, _CODEC.encode(letter))

    def count(self, message: Message, error: PoisonError) -> None:
        """Count and log an unusable record."""
        DEAD_LETTERS_TOTAL.labels(self._service, message.topic, error.reason).inc()
        log.warning(
            "dead_letter",
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            reason=error.reason,
            detail=error.detail[:LOGGED_DETAIL],
        )
