"""The shell around both sides: what was fetched goes through the cores, then out in the order that makes a restart exact.

Events: signals and dead letters are acknowledged, then user records, then the batch is finished. Signals: item records are
acknowledged, then the batch is finished. Signals are handled beside events in a lane of their own, all that are waiting at once, so
that a user's features do not wait for items and a busy item is written once for many signals.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import structlog

from services.features.faust_app import Batches, FaustApp, RecordStore, partition_of
from services.features.item_side import ItemSide
from services.features.user_side import UserBatch, UserSide
from shared.clock import Clock
from shared.codec import Codec
from shared.errors import PoisonError
from shared.kafka import Bus, Message, TopicPartition, dead_letter_of, settle
from shared.metrics import (
    BATCH_RECORDS,
    DUPLICATES,
    EVENTS,
    ITEMS_WITH_STATE,
    LAG,
    RECORDS,
    STAGE_SECONDS,
    USERS,
)
from shared.metrics import DEAD_LETTERS as DEAD_LETTERS_TOTAL
from shared.runtime import Health
from shared.topics import DEAD_LETTERS, ITEM_FEATURES, ITEM_SIGNALS, USER_EVENTS, USER_FEATURES

log = structlog.get_logger()

Records = Sequence[tuple[bytes, bytes]]

SERVICE = "features"
GATHERED_SIGNALS = 5_000
MOST_WAITING_SIGNALS = 20_000


class Publisher:
    """Writes records of topics by short name, and waits until all are acknowledged."""

    def __init__(self, app: FaustApp, bus: Bus, clock: Clock) -> None:
        self._app = app
        self._bus = bus
        self._clock = clock
        self._dead_letters = Codec.of("dead_letter")

    async def states(self, topic: str, partition: int, records: Records, store: RecordStore) -> None:
        """Write a partition's states to it; acknowledged, they are what `store` holds."""
        full = self._bus.full_name(topic)
        last = await self._app.write(full, partition, records)
        for key, value in records:
            store.write(partition, key, value)
        if records:
            store.set_persisted_offset(TopicPartition(full, partition), last)

    async def by_key(self, topic: str, records: Records) -> None:
        """Write records, each to the partition of its key."""
        by_partition: dict[int, list[tuple[bytes, bytes]]] = {}
        for record in records:
            by_partition.setdefault(partition_of(record[0], self._bus.partitions), []).append(record)
        full = self._bus.full_name(topic)
        await settle([self._app.write(full, partition, some) for partition, some in by_partition.items()])

    async def dead_letters(self, poison: Sequence[tuple[Message, PoisonError]]) -> None:
        await self.by_key(DEAD_LETTERS, [self._dead_letter(message, error) for message, error in poison])

    def _dead_letter(self, message: Message, error: PoisonError) -> tuple[bytes, bytes]:
        DEAD_LETTERS_TOTAL.labels(SERVICE, message.topic, error.reason).inc()
        log.warning("dead_letter", topic=message.topic, offset=message.offset, reason=error.reason, detail=error.detail)
        source = self._bus.full_name(message.topic)
        letter = dead_letter_of(message, error, SERVICE, source, self._clock.now_ms())
        return source.encode(), self._dead_letters.encode(letter)


class Worker:
    """Handles what the application fetched (services.features.faust_app.Handler)."""

    def __init__(
        self,
        app: FaustApp,
        bus: Bus,
        clock: Clock,
        health: Health,
        users: tuple[UserSide, RecordStore],
        items: tuple[ItemSide, RecordStore],
        batch_records: int,
    ) -> None:
        self._app = app
        self._bus = bus
        self._health = health
        self._publisher = Publisher(app, bus, clock)
        self._users, self._user_records = users
        self._items, self._item_records = items
        self._batch_records = batch_records
        self._behind = False
        self._handling = asyncio.Lock()
        self._updating = asyncio.Lock()
        self._waiting: dict[TopicPartition, list[Message]] = {}
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()

    def turn(self) -> None:
        self._health.beat()
        self._health.ready = self._app.recovered
        USERS.set(self._user_records.size())
        ITEMS_WITH_STATE.set(self._item_records.size())
        self._behind = False
        if self._waiting:
            self._arrived.set()

    async def settle(self) -> None:
        self._waiting.clear()
        async with self._handling, self._updating:
            self._users.states.forget()
            self._items.states.forget()

    async def handle(self, batches: Batches) -> None:
        events: dict[TopicPartition, list[Message]] = {}
        self._behind = sum(map(len, batches.values())) >= self._batch_records
        for tp, records in batches.items():
            topic = self._bus.short_name(tp.topic)
            messages = [_message(topic, record) for record in records]
            RECORDS.labels(SERVICE, topic).inc(len(messages))
            LAG.labels(SERVICE, topic, tp.partition).set(self._app.consumer.highwater(tp) - messages[-1].offset - 1)
            if topic == USER_EVENTS:
                events[tp] = messages
            else:
                self._waiting.setdefault(tp, []).extend(messages)
        if self._waiting:
            self._arrived.set()
        if events:
            async with self._handling:
                await self._handle_events(events)
        while self._signals_waiting() > MOST_WAITING_SIGNALS:
            self._taken.clear()
            await self._taken.wait()

    def _signals_waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    async def _handle_events(self, batches: dict[TopicPartition, list[Message]]) -> None:
        started = time.perf_counter()
        try:
            applied = {tp: self._users.apply(tp.partition, messages) for tp, messages in batches.items()}
            STAGE_SECONDS.labels(SERVICE, "apply_events").observe(time.perf_counter() - started)
            await self._publish(list(applied.values()))
        except BaseException:
            self._users.states.forget()
            raise
        self._users.states.shrink()
        for tp, batch in applied.items():
            self._app.consumer.finished(tp, batches[tp][-1].offset + 1)
            _count(batch)
        BATCH_RECORDS.labels(SERVICE).observe(sum(map(len, batches.values())))
        STAGE_SECONDS.labels(SERVICE, "events").observe(time.perf_counter() - started)

    async def _publish(self, batches: list[UserBatch]) -> None:
        """Users only after signals: an event that a user's record includes is never signalled again."""
        await self._publisher.dead_letters([letter for batch in batches for letter in batch.poison])
        await self._publisher.by_key(ITEM_SIGNALS, [signal for batch in batches for signal in batch.signals])
        await settle(
            [
                self._publisher.states(USER_FEATURES, batch.partition, batch.users, self._user_records)
                for batch in batches
            ]
        )

    async def run_items(self) -> None:
        """Handle signals as they come, until cancelled. While events are behind, gather more: an item is then written for many."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if self._behind and self._signals_waiting() < GATHERED_SIGNALS:
                continue
            async with self._updating:
                waiting, self._waiting = self._waiting, {}
                self._taken.set()
                for tp, messages in waiting.items():
                    await self._handle_signals(tp, messages)

    async def _handle_signals(self, tp: TopicPartition, messages: list[Message]) -> None:
        started = time.perf_counter()
        try:
            batch = self._items.apply(tp.partition, messages)
            STAGE_SECONDS.labels(SERVICE, "apply_signals").observe(time.perf_counter() - started)
            await self._publisher.dead_letters(batch.poison)
            await self._publisher.states(ITEM_FEATURES, batch.partition, batch.items, self._item_records)
        except BaseException:
            self._items.states.forget()
            raise
        self._items.states.shrink()
        self._app.consumer.finished(tp, messages[-1].offset + 1)
        STAGE_SECONDS.labels(SERVICE, "signals").observe(time.perf_counter() - started)


def _message(topic: str, record: Any) -> Message:
    return Message(topic, record.partition, record.offset, record.key, record.value or b"", record.timestamp)


def _count(batch: UserBatch) -> None:
    for label, count in batch.applied.items():
        scenario, _, action = label.partition("/")
        EVENTS.labels(scenario, action).inc(count)
    DUPLICATES.inc(batch.duplicates)
