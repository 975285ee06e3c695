"""Turns erasures from outside of `user-events` and `item-signals` into tombstones there, where their order among the events is decided.

A tombstone names the record that it was written for. After a crash, or for a new owner of a partition, that record may be read again: the
tombstone is looked for first, since a second one would erase what a new user has done meanwhile. The tombstone of an item is written
after the signals of all events that were sent before: they may still be under way, and would bring the item back.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from eddy.contract.checks import check_partition
from eddy.contract.codec import Codec
from eddy.contract.erasure import USER, cause_of, check_erasure, erased_id
from eddy.contract.message import Message, TopicPartition
from eddy.contract.topics import ERASURES, ITEM_SIGNALS, ITEMS, USER_EVENTS, USER_FEATURES
from eddy.errors import FatalError, PoisonError
from eddy.kafka.bus import Bus, KafkaError, Producer, settle
from eddy.kafka.dead_letters import DeadLetters, Refusal
from eddy.kafka.permissions import PERMISSION_ERRORS, describe_denial
from eddy_features.shell.publisher import SERVICE

log = structlog.get_logger()

GROUP = "features-erasures"
REJOIN_SEC = 1.0
# A committed position may stay below the end of a log that ends in markers of transactions: then its records are looked for.
SEARCH_SEC = 5.0
_POLL_MS = 500
_BATCH_RECORDS = 2000
_SEARCH_BYTES = 64 * 1024
_SOURCES = (ERASURES, ITEMS, USER_FEATURES)
_CODEC = Codec.for_topic(ERASURES)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A tombstone to be written for `cause`: topic and key."""

    topic: str
    key: str
    cause: Message


@dataclass(slots=True)
class _WaitingItem:
    """The tombstone of an item, to be written once the events before `ends` are processed; `searched_at` is monotonic time."""

    tombstone: Tombstone
    ends: dict[TopicPartition, int]
    searched_at: float


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
    """A member of a group of its own (implements eddy.kafka.member.Listener)."""

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
        self._waiting: list[_WaitingItem] = []
        self._next: dict[TopicPartition, int] = {}  # offsets that are read and not committed
        self._forwarding: set[TopicPartition] = set()  # partitions of which this member has forwarded what it has read

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

    async def revoked(self, partitions: set[int]) -> None:
        """Another member may own the partitions; what is not committed is read again."""
        self._forget()

    async def assigned(self, partitions: set[int]) -> None:
        """Reading continues at the committed offsets."""
        self._forget()

    def _forget(self) -> None:
        self._waiting.clear()
        self._next.clear()
        self._forwarding.clear()

    async def _follow(self) -> None:
        self._forget()
        async with self._bus.member(_SOURCES, GROUP, self, **self._options) as member:
            while True:
                messages = await member.batch(_POLL_MS, _BATCH_RECORDS)
                await self.forward(messages)
                await self.forward_waiting()
                if self._next and (offsets := self._committable()):
                    await member.commit(offsets)

    async def forward(self, messages: Sequence[Message]) -> None:
        """Write the tombstones that `messages` call for, and await their acknowledgements. Those of items wait for `forward_waiting`."""
        refused: list[Refusal] = []
        tombstones: list[Tombstone] = []
        for message in messages:
            try:
                target = tombstone_of(message, self._bus)
            except PoisonError as error:
                # The readers of the other topics refuse their records themselves.
                refused += [(message, error)] if message.topic == ERASURES else []
                continue
            if target is not None:
                tombstones.append(Tombstone(*target, message))
        written = await self._written(tombstones)
        tombstones = [each for each in tombstones if cause_of(each.cause) not in written]
        items = [each for each in tombstones if each.topic == ITEM_SIGNALS]
        await self._write([each for each in tombstones if each.topic != ITEM_SIGNALS])
        if items:
            ends, now = await self._ends_of_events(), time.monotonic()
            self._waiting += [_WaitingItem(each, ends, now) for each in items]
        orders = [message for message in messages if message.topic == ERASURES]
        await self._dead_letters.refuse_batch(orders, refused)
        self._next |= {self._partition(message): message.offset + 1 for message in messages}
        self._forwarding |= self._next.keys()

    async def forward_waiting(self) -> None:
        """Write the tombstones of items for which all events that were sent before have become signals."""
        if not self._waiting:
            return
        committed = await self._bus.committed(SERVICE, USER_EVENTS)
        due = [each for each in self._waiting if await self._processed(each, committed)]
        await self._write([each.tombstone for each in due])
        self._waiting = [each for each in self._waiting if each not in due]

    async def _processed(self, item: _WaitingItem, committed: Mapping[TopicPartition, int]) -> bool:
        behind = {each: end for each, end in item.ends.items() if committed.get(each, 0) < end}
        if not behind or time.monotonic() - item.searched_at < SEARCH_SEC:
            return not behind
        item.searched_at = time.monotonic()
        async with self._bus.reader(list(behind), max_partition_fetch_bytes=_SEARCH_BYTES) as reader:
            for partition in behind:
                if partition in committed:
                    reader.seek(partition, committed[partition])
            while not await reader.at_end(behind):
                messages = await reader.batch(_POLL_MS, 1)
                if any(message.offset < behind[self._partition(message)] for message in messages):
                    return False
        return True

    async def _written(self, tombstones: Iterable[Tombstone]) -> set[str]:
        """The causes for which a tombstone is in its log: of records that a former owner of their partition may have forwarded."""
        since: dict[TopicPartition, int] = {}
        for each in tombstones:
            if self._partition(each.cause) not in self._forwarding:
                (target,) = self._bus.topic_partitions(each.topic, [self._bus.partition_of(each.key)])
                since[target] = min(each.cause.timestamp_ms, since.get(target, each.cause.timestamp_ms))
        if not since:
            return set()
        causes = set()
        async with self._bus.reader(list(since)) as reader:
            for partition, at_ms in since.items():
                await reader.seek_to_time([partition], at_ms)
            ends = await reader.end_offsets()
            while not await reader.at_end(ends):
                causes |= {message.cause for message in await reader.batch(_POLL_MS, _BATCH_RECORDS)}
        return causes - {""}

    async def _write(self, tombstones: Sequence[Tombstone]) -> None:
        futures = []
        for each in tombstones:
            source = each.cause
            log.info("erasure_forwarded", source=source.topic, partition=source.partition, offset=source.offset)
            futures.append(await self._producer.send(each.topic, each.key, None, cause=cause_of(source)))
        await settle(futures)

    async def _ends_of_events(self) -> dict[TopicPartition, int]:
        # A reader without partitions: another one would begin to fetch the whole log, for every item.
        async with self._bus.reader([]) as reader:
            return await reader.end_offsets(self._bus.topic_partitions(USER_EVENTS))

    def _committable(self) -> dict[TopicPartition, int]:
        """The offsets before which everything is forwarded, of partitions that have some."""
        waiting: dict[TopicPartition, int] = {}
        for each in self._waiting:
            partition, offset = self._partition(each.tombstone.cause), each.tombstone.cause.offset
            waiting[partition] = min(offset, waiting.get(partition, offset))
        done = {partition: offset for partition, offset in self._next.items() if partition not in waiting}
        for partition in done:
            del self._next[partition]
        return done

    def _partition(self, message: Message) -> TopicPartition:
        return TopicPartition(self._bus.full_name(message.topic), message.partition)
