"""The pipelines around both updaters: fetched messages go through the core, and the results are written in the order of exactly-once.

Events: signals and dead letters are acknowledged, then user records, then the batch may be committed. Signals: once the records of all
items up to an offset are acknowledged, that offset may be committed. A failed write ends the process; its successor continues from the
acknowledged records.
"""

import time
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

from eddy.clock import Clock
from eddy.contract.erasure import ITEM, USER
from eddy.contract.message import Message, TopicPartition
from eddy.contract.scenarios import IMPRESSION
from eddy.contract.topics import ITEM_FEATURES, ITEM_SIGNALS, USER_EVENTS, USER_FEATURES
from eddy.kafka.bus import Bus, settle
from eddy.kafka.dead_letters import DeadLetters
from eddy.kafka.reader import message_of
from eddy.metrics import (
    BATCH_RECORDS,
    DUPLICATES,
    ERASURES,
    EVENTS,
    HOP_SECONDS,
    ITEMS_WITH_STATE,
    LAG,
    RECORDS,
    STAGE_SECONDS,
    USERS,
)
from eddy.runtime import Health
from eddy_features.core.expiry import Expiry
from eddy_features.core.item_updater import ItemBatch, ItemUpdater
from eddy_features.core.precedence import item_as_of, user_as_of
from eddy_features.core.states import StateCache
from eddy_features.core.unwritten_items import UnwrittenItems
from eddy_features.core.user_updater import UserBatch, UserUpdater
from eddy_features.shell.batch_queue import BatchQueue
from eddy_features.shell.faust_app import FaustApp
from eddy_features.shell.faust_private import Records
from eddy_features.shell.publisher import SERVICE, StatePublisher
from eddy_features.shell.record_store import RecordStore
from eddy_features.shell.slate_reader import SlateReader

_EVENT_TO_FEATURES = HOP_SECONDS.labels("event_to_features")

_IMPRESSION = IMPRESSION.encode()

# Records per partition whose log is checked when their partition is taken over.
CHECKED_RECORDS = 100
SIGNALS_PER_BATCH = 5_000
MAX_QUEUED = 10_000
# Minimum time between two batches of signals: a busy item is then written, and read by the scorers, once for many signals.
ITEM_INTERVAL_SEC = 1.0
# Time after which an item is written that was shown and nothing else.
SHOWN_INTERVAL_SEC = 10.0

PartitionMessages = Mapping[TopicPartition, list[Message]]


class UserPipeline:
    """Turns events into user records and into signals for items."""

    def __init__(
        self,
        app: FaustApp,
        publisher: StatePublisher,
        dead_letters: DeadLetters,
        updater: UserUpdater,
        store: RecordStore,
        max_records: int,
        clock: Clock,
        slates: SlateReader,
        expiry: Expiry,
    ) -> None:
        self._expiry = expiry
        self._slates = slates
        self._taken_over: set[int] = set()
        self._dead_letters = dead_letters
        self._app = app
        self._clock = clock
        self._publisher = publisher
        self._updater = updater
        self._store = store
        self.queue = BatchQueue(self._handle, max_records)

    async def discard(self) -> None:
        """Drop queued events and decoded states, and return when no batch is being handled."""
        await self.queue.discard()
        self._updater.states.clear()
        self._taken_over.clear()

    def _take_over(self, partition: int) -> None:
        """Read the recovered records of a partition before its first events; of a renumbered log none may stay, not even of users without
        further events."""
        if partition not in self._taken_over:
            self._updater.take_over(partition, self._store.partitions[partition].values())
            for _, record in self._store.sample(partition, CHECKED_RECORDS):
                self._updater.check_record(record)
            self._taken_over.add(partition)

    def _end(self, tp: TopicPartition) -> int | None:
        """The end of the log as of the last fetch."""
        return self._app.consumer.highwater(tp) or None

    async def _handle(self, batch: PartitionMessages) -> None:
        started = time.perf_counter()
        for tp in batch:
            self._take_over(tp.partition)
        with_impressions = [tp.partition for tp, messages in batch.items() if any(map(_may_be_impression, messages))]
        if with_impressions:
            await self._slates.read(with_impressions, self._app.consumer.owned(USER_EVENTS))
        results = {tp: self._updater.apply(tp.partition, messages, self._end(tp)) for tp, messages in batch.items()}
        STAGE_SECONDS.labels(SERVICE, "apply_events").observe(time.perf_counter() - started)
        await _refuse(self._dead_letters, batch, results)
        # Users only after signals: no signal is sent again for an event that a user record includes.
        await self._publisher.publish_by_key(
            ITEM_SIGNALS, [signal for result in results.values() for signal in result.signals]
        )
        states = {tp.partition: result.users for tp, result in results.items()}
        _add_expired(states, self._expiry, self._updater.states, self._store, user_as_of)
        await self._publisher.publish_states(USER_FEATURES, states, self._store)
        self._updater.states.evict()
        for tp, result in results.items():
            self._app.consumer.mark_processed(tp, batch[tp][-1].offset + 1)
            _count(result)
        now = self._clock.now_ms()
        for message in chain.from_iterable(batch.values()):
            _EVENT_TO_FEATURES.observe((now - message.timestamp_ms) / 1000)
        BATCH_RECORDS.labels(SERVICE).observe(sum(map(len, batch.values())))
        STAGE_SECONDS.labels(SERVICE, "events").observe(time.perf_counter() - started)
        USERS.set(self._store.size())


class ItemPipeline:
    """Turns signals into item records."""

    def __init__(
        self,
        app: FaustApp,
        publisher: StatePublisher,
        dead_letters: DeadLetters,
        updater: ItemUpdater,
        store: RecordStore,
        max_unwritten: int,
        expiry: Expiry,
    ) -> None:
        self._unwritten = UnwrittenItems(SHOWN_INTERVAL_SEC, max_unwritten)
        self._sources: dict[int, TopicPartition] = {}
        self._expiry = expiry
        self._dead_letters = dead_letters
        self._app = app
        self._publisher = publisher
        self._updater = updater
        self._store = store
        self.events_behind = False
        self.queue = BatchQueue(self._handle, SIGNALS_PER_BATCH, self._may_start, ITEM_INTERVAL_SEC)

    async def discard(self) -> None:
        """Drop queued signals, decoded states and unwritten items, and return when no batch is being handled."""
        await self.queue.discard()
        # No `await` in between: the position of a batch that starts here would be beyond the signals of dropped items.
        self._unwritten.clear()
        self._updater.states.clear()

    def _may_start(self, queued: int) -> bool:
        """While the worker lags behind with events, collect signals: an item is then written once for many of them."""
        if self.events_behind and queued < SIGNALS_PER_BATCH:
            return False
        return queued > 0 or self._unwritten.is_due(time.monotonic())

    async def _handle(self, batch: PartitionMessages) -> None:
        started = time.perf_counter()
        results = {tp: self._updater.apply(tp.partition, messages) for tp, messages in batch.items()}
        STAGE_SECONDS.labels(SERVICE, "apply_signals").observe(time.perf_counter() - started)
        await _refuse(self._dead_letters, batch, results)
        now = time.monotonic()
        for tp, result in results.items():
            self._sources[tp.partition] = tp
            self._unwritten.add(tp.partition, result.changes, batch[tp][-1].offset + 1, now)
        due = self._unwritten.due(now)
        states = {partition: self._updater.records(partition, keys) for partition, keys in due.items()}
        _add_expired(states, self._expiry, self._updater.states, self._store, item_as_of, self._unwritten.holds)
        await self._publisher.publish_states(ITEM_FEATURES, states, self._store)
        for partition, position in self._unwritten.written(due).items():
            self._app.consumer.mark_processed(self._sources[partition], position)
        self._updater.states.evict(self._unwritten.holds)
        ERASURES.labels(ITEM).inc(sum(result.erased for result in results.values()))
        STAGE_SECONDS.labels(SERVICE, "signals").observe(time.perf_counter() - started)
        ITEMS_WITH_STATE.set(self._store.size())


class FeaturesWorker:
    """Puts fetched records into the queues of both pipelines (implements eddy_features.shell.batch_consumer.RecordHandler)."""

    def __init__(
        self, app: FaustApp, bus: Bus, health: Health, users: UserPipeline, items: ItemPipeline, batch_records: int
    ) -> None:
        self._app = app
        self._bus = bus
        self._health = health
        self._users = users
        self._items = items
        self._batch_records = batch_records

    def on_poll(self) -> None:
        self._health.beat()
        self._health.ready = self._app.recovered
        self._items.events_behind = False
        self._items.queue.wake()

    async def discard(self) -> None:
        await settle([self._users.discard(), self._items.discard()])

    async def handle(self, batches: Records) -> None:
        for tp, records in batches.items():
            topic = self._bus.short_name(tp.topic)
            messages = [_message(topic, record) for record in records]
            RECORDS.labels(SERVICE, topic).inc(len(messages))
            LAG.labels(SERVICE, topic, tp.partition).set(self._app.consumer.highwater(tp) - messages[-1].offset - 1)
            pipeline = self._users if topic == USER_EVENTS else self._items
            pipeline.queue.add(tp, messages)
        self._items.events_behind = len(self._users.queue) >= self._batch_records
        await self._users.queue.wait_for_room(MAX_QUEUED)
        await self._items.queue.wait_for_room(MAX_QUEUED)


def _add_expired(
    states: dict[int, list[tuple[bytes, bytes | None]]],
    expiry: Expiry,
    cache: StateCache[Any],
    store: RecordStore,
    as_of: Callable[[bytes], int],
    is_changed: Callable[[int, bytes], bool] = lambda partition, key: False,
) -> None:
    """Add the deletion of expired records to the states that a batch writes; a record that `is_changed` is about to be replaced."""
    for partition, written in states.items():
        times = [as_of(record) for _, record in written if record is not None]
        kept = {key for key, _ in written}
        for key in expiry.expired(partition, times, store.partitions[partition]):
            if key not in kept and not is_changed(partition, key):
                cache.drop(partition, key)
                written.append((key, None))


async def _refuse(
    dead_letters: DeadLetters, batch: PartitionMessages, results: Mapping[Any, UserBatch | ItemBatch]
) -> None:
    refused = [refusal for result in results.values() for refusal in result.poison]
    await dead_letters.refuse_batch([message for messages in batch.values() for message in messages], refused)


def _message(topic: str, record: Any) -> Message:
    return message_of(record, topic, record.value or b"")


def _may_be_impression(message: Message) -> bool:
    """Whether the event can be an impression, without decoding it."""
    return _IMPRESSION in message.value


def _count(batch: UserBatch) -> None:
    for label, count in batch.applied.items():
        scenario, _, action = label.partition("/")
        EVENTS.labels(scenario, action).inc(count)
    DUPLICATES.inc(batch.duplicates)
    ERASURES.labels(USER).inc(batch.erased)
