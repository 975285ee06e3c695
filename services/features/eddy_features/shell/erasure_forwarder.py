"""Turns erasures from outside of `user-events` and `item-signals` into tombstones there, where their order among the events is decided."""

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog

from eddy.contract.checks import check_partition
from eddy.contract.codec import Codec
from eddy.contract.erasure import USER, check_erasure, erased_id
from eddy.contract.message import Message, TopicPartition
from eddy.contract.topics import ERASURES, ITEM_SIGNALS, ITEMS, USER_EVENTS, USER_FEATURES
from eddy.errors import FatalError, PoisonError
from eddy.kafka.bus import Bus, KafkaError, Producer, settle
from eddy.kafka.dead_letters import DeadLetters, Refusal
from eddy.kafka.permissions import PERMISSION_ERRORS, describe_denial

log = structlog.get_logger()

GROUP = "features-erasures"
REJOIN_SEC = 1.0
_POLL_MS = 500
_BATCH_RECORDS = 2000
_SOURCES = (ERASURES, ITEMS, USER_FEATURES)
_CODEC = Codec.for_topic(ERASURES)


def tombstone_of(message: Message, bus: Bus) -> tuple[str, str] | None:
    """Topic and key of the tombstone that a message calls for: an order in `erasures`, a deleted item, or a user record that somebody
    else deleted. None for all other messages. Raises PoisonError for an unusable order."""
    if message.topic == ERASURES:
        record = _CODEC.decode(message.value)
        check_erasure(record, message.key)
        check_partition(message, bus.partition_of_key)
        if record["erased_offset"] is not None:
            return None  # a notice: the tombstone is written
        return (USER_EVENTS if record["kind"] == USER else ITEMS), record["id"]
    if not message.tombstone or (message.topic == USER_FEATURES and message.by_eddy):
        return None
    return (ITEM_SIGNALS if message.topic == ITEMS else USER_EVENTS), erased_id(message, bus.partition_of_key)


class ErasureForwarder:
    """A member of a group of its own. A tombstone may be written twice if the process is killed in between."""

    def __init__(
        self,
        bus: Bus,
        producer: Producer,
        dead_letters: DeadLetters,
        instance_id: str | None,
        session_timeout_sec: float,
    ) -> None:
        self._bus = bus
        self._producer = producer
        self._dead_letters = dead_letters
        self._options: dict[str, Any] = {
            "group_instance_id": instance_id,
            "session_timeout_ms": round(session_timeout_sec * 1000),
            "heartbeat_interval_ms": round(session_timeout_sec * 250),
        }

    async def run(self) -> None:
        """Run until cancelled. Raises FatalError for a missing permission."""
        while True:
            try:
                await self._follow()
            except PERMISSION_ERRORS as error:
                raise FatalError(describe_denial(error)) from error
            except KafkaError as error:
                log.warning("membership_lost", group=GROUP, error=repr(error))
                await asyncio.sleep(REJOIN_SEC)

    async def _follow(self) -> None:
        async with self._bus.member(_SOURCES, GROUP, **self._options) as member:
            while True:
                messages = await member.batch(_POLL_MS, _BATCH_RECORDS)
                await self.forward(messages)
                if messages:
                    await member.commit(_next_offsets(messages, self._bus))

    async def forward(self, messages: Sequence[Message]) -> None:
        """Write the tombstones that `messages` call for, and wait until they are acknowledged."""
        refused: list[Refusal] = []
        written = []
        for message in messages:
            try:
                tombstone = tombstone_of(message, self._bus)
            except PoisonError as error:
                # The readers of the other topics refuse their records themselves.
                refused += [(message, error)] if message.topic == ERASURES else []
                continue
            if tombstone is not None:
                log.info("erasure_forwarded", source=message.topic, partition=message.partition, offset=message.offset)
                written.append(await self._producer.send(*tombstone, None))
        await settle(written)
        orders = [message for message in messages if message.topic == ERASURES]
        await self._dead_letters.refuse_batch(orders, refused)


def _next_offsets(messages: Sequence[Message], bus: Bus) -> dict[TopicPartition, int]:
    return {TopicPartition(bus.full_name(message.topic), message.partition): message.offset + 1 for message in messages}
