"""Input that cannot be used, kept in dead-letters."""

import asyncio
from typing import Any

import structlog

from eddy.clock import Clock
from eddy.contract.codec import Codec
from eddy.contract.dead_letter import dead_letter_of
from eddy.contract.message import Message
from eddy.contract.topics import DEAD_LETTERS
from eddy.errors import PoisonError
from eddy.kafka.bus import Bus, Producer
from eddy.metrics import DEAD_LETTERS as REFUSED

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
