"""Input that cannot be used, kept in dead-letters."""

import asyncio
from typing import Any

import structlog

from shared.clock import Clock
from shared.codec import Codec
from shared.errors import PoisonError
from shared.kafka import Bus, Message, Producer, dead_letter_of
from shared.metrics import DEAD_LETTERS as REFUSED
from shared.topics import DEAD_LETTERS

SERVICE = "scorer"

log = structlog.get_logger()


class DeadLetters:
    """Counts, logs and keeps what was refused."""

    def __init__(self, bus: Bus, producer: Producer, clock: Clock) -> None:
        self._bus = bus
        self._producer = producer
        self._clock = clock
        self._codec = Codec.for_topic(DEAD_LETTERS)

    async def refuse(self, message: Message, error: PoisonError) -> "asyncio.Future[Any]":
        """Queue the dead letter of `message`; the future ends when it is kept."""
        REFUSED.labels(SERVICE, message.topic, error.reason).inc()
        log.warning(
            "input_refused",
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            reason=error.reason,
        )
        full_topic = self._bus.full_name(message.topic)
        record = dead_letter_of(message, error, SERVICE, full_topic, self._clock.now_ms())
        return await self._producer.send(DEAD_LETTERS, full_topic, self._codec.encode(record))
