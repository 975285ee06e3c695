"""Writes unusable records to `dead-letters`, counts and logs them, and stops the service after too many in a row."""

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
    """Writer of the dead letters of a service; `runs` counts consecutive unusable records.

    A consumer of single records calls `note_usable` or `refuse` for each, a consumer of batches calls `refuse_batch` for each batch. A
    transactional consumer calls `write` in the transaction, and `count` and `runs.check` after the commit.
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
        """Queue the dead letter of an unusable record; the future ends when it is stored. Raises FatalError for too many in a row."""
        self.runs.note_unusable(message, error.reason)
        self.count(message, error)
        stored = await self.write(message, error)
        self.runs.check()
        return stored

    async def refuse_batch(self, messages: Sequence[Message], refusals: Sequence[Refusal]) -> None:
        """Write the dead letters of a batch's unusable records and wait until they are stored; all other messages count as usable.

        `messages` are in order within each partition. Raises FatalError for too many unusable records in a row.
        """
        self.runs.note_batch(messages, {position_of(message): error.reason for message, error in refusals})
        for message, error in refusals:
            self.count(message, error)
        await settle([await self.write(message, error) for message, error in refusals])
        self.runs.check()

    async def write(self, message: Message, error: PoisonError) -> "asyncio.Future[Any]":
        """Queue a dead letter without counting it; the future ends when it is stored."""
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
