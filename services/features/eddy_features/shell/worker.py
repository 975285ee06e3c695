"""The shell around both sides: what was fetched goes through the cores, then out in the order that makes a restart exact.

Events: signals and dead letters are acknowledged, then user records, then the batch is finished. Signals: item records are
acknowledged, then the batch is finished. A failed write ends the process, which comes back with what was acknowledged.
"""

import time
from collections.abc import Mapping
from itertools import chain
from typing import Any

from eddy.clock import Clock
from eddy.contract.message import Message, TopicPartition
from eddy.contract.topics import ITEM_FEATURES, ITEM_SIGNALS, USER_EVENTS, USER_FEATURES
from eddy.kafka.bus import Bus, settle
from eddy.kafka.dead_letters import DeadLetters
from eddy.metrics import (
    BATCH_RECORDS,
    DUPLICATES,
    EVENTS,
    HOP_SECONDS,
    ITEMS_WITH_STATE,
    LAG,
    RECORDS,
    STAGE_SECONDS,
    USERS,
)
from eddy.runtime import Health
from eddy_features.core.item_updater import ItemBatch, ItemUpdater
from eddy_features.core.user_updater import UserBatch, UserUpdater
from eddy_features.shell.batch_queue import BatchQueue
from eddy_features.shell.faust_app import FaustApp
from eddy_features.shell.faust_private import Records
from eddy_features.shell.publisher import SERVICE, StatePublisher
from eddy_features.shell.record_store import RecordStore

_EVENT_TO_FEATURES = HOP_SECONDS.labels("event_to_features")

SIGNALS_PER_BATCH = 5_000
MAX_QUEUED = 10_000
# Nobody waits for an item: gathered for so long, a busy one is written, and read by the scorers, once for many signals.
ITEM_INTERVAL_SEC = 0.1

Batches = Mapping[TopicPartition, list[Message]]


class UserShell:
    """Events into users' states and into signals for items."""

    def __init__(
        self,
        app: FaustApp,
        publisher: StatePublisher,
        dead_letters: DeadLetters,
        side: UserUpdater,
        store: RecordStore,
        max_records: int,
        clock: Clock,
    ) -> None:
        self._dead_letters = dead_letters
        self._app = app
        self._clock = clock
        self._publisher = publisher
        self._side = side
        self._store = store
        self.queue = BatchQueue(self._handle, max_records)

    def forget(self) -> None:
        self._side.states.clear()

    async def _handle(self, taken: Batches) -> None:
        started = time.perf_counter()
        batches = {tp: self._side.apply(tp.partition, messages) for tp, messages in taken.items()}
        STAGE_SECONDS.labels(SERVICE, "apply_events").observe(time.perf_counter() - started)
        await _judge(self._dead_letters, taken, batches)
        # Users only after signals: an event that a user's record includes is never signalled again.
        await self._publisher.by_key(ITEM_SIGNALS, [signal for batch in batches.values() for signal in batch.signals])
        await self._publisher.states(
            USER_FEATURES, {tp.partition: batch.users for tp, batch in batches.items()}, self._store
        )
        self._side.states.evict()
        for tp, batch in batches.items():
            self._app.consumer.mark_processed(tp, taken[tp][-1].offset + 1)
            _count(batch)
        now = self._clock.now_ms()
        for message in chain.from_iterable(taken.values()):
            _EVENT_TO_FEATURES.observe((now - message.timestamp_ms) / 1000)
        BATCH_RECORDS.labels(SERVICE).observe(sum(map(len, taken.values())))
        STAGE_SECONDS.labels(SERVICE, "events").observe(time.perf_counter() - started)
        USERS.set(self._store.size())


class ItemShell:
    """Signals into items' states."""

    def __init__(
        self, app: FaustApp, publisher: StatePublisher, dead_letters: DeadLetters, side: ItemUpdater, store: RecordStore
    ) -> None:
        self._dead_letters = dead_letters
        self._app = app
        self._publisher = publisher
        self._side = side
        self._store = store
        self.events_behind = False
        self.queue = BatchQueue(self._handle, SIGNALS_PER_BATCH, self._may_start, ITEM_INTERVAL_SEC)

    def forget(self) -> None:
        self._side.states.clear()

    def _may_start(self, waiting: int) -> bool:
        """While events are behind, signals gather: an item is then written once for many of them."""
        return not self.events_behind or waiting >= SIGNALS_PER_BATCH

    async def _handle(self, taken: Batches) -> None:
        started = time.perf_counter()
        batches = {tp: self._side.apply(tp.partition, messages) for tp, messages in taken.items()}
        STAGE_SECONDS.labels(SERVICE, "apply_signals").observe(time.perf_counter() - started)
        await _judge(self._dead_letters, taken, batches)
        await self._publisher.states(
            ITEM_FEATURES, {tp.partition: batch.items for tp, batch in batches.items()}, self._store
        )
        self._side.states.evict()
        for tp in batches:
            self._app.consumer.mark_processed(tp, taken[tp][-1].offset + 1)
        STAGE_SECONDS.labels(SERVICE, "signals").observe(time.perf_counter() - started)
        ITEMS_WITH_STATE.set(self._store.size())


class FeaturesWorker:
    """Puts what the application fetched into the lanes of both sides (eddy_features.shell.batch_consumer.Handler)."""

    def __init__(
        self, app: FaustApp, bus: Bus, health: Health, users: UserShell, items: ItemShell, batch_records: int
    ) -> None:
        self._app = app
        self._bus = bus
        self._health = health
        self._users = users
        self._items = items
        self._batch_records = batch_records

    def turn(self) -> None:
        self._health.beat()
        self._health.ready = self._app.recovered
        self._items.events_behind = False
        self._items.queue.wake()

    async def settle(self) -> None:
        await settle([self._users.queue.discard(), self._items.queue.discard()])
        self._users.forget()
        self._items.forget()

    async def handle(self, batches: Records) -> None:
        for tp, records in batches.items():
            topic = self._bus.short_name(tp.topic)
            messages = [_message(topic, record) for record in records]
            RECORDS.labels(SERVICE, topic).inc(len(messages))
            LAG.labels(SERVICE, topic, tp.partition).set(self._app.consumer.highwater(tp) - messages[-1].offset - 1)
            side = self._users if topic == USER_EVENTS else self._items
            side.queue.add(tp, messages)
        self._items.events_behind = len(self._users.queue) >= self._batch_records
        await self._users.queue.wait_for_room(MAX_QUEUED)
        await self._items.queue.wait_for_room(MAX_QUEUED)


async def _judge(dead_letters: DeadLetters, taken: Batches, batches: Mapping[Any, UserBatch | ItemBatch]) -> None:
    refused = [refusal for batch in batches.values() for refusal in batch.poison]
    await dead_letters.refuse_batch([message for messages in taken.values() for message in messages], refused)


def _message(topic: str, record: Any) -> Message:
    return Message(topic, record.partition, record.offset, record.key, record.value or b"", record.timestamp)


def _count(batch: UserBatch) -> None:
    for label, count in batch.applied.items():
        scenario, _, action = label.partition("/")
        EVENTS.labels(scenario, action).inc(count)
    DUPLICATES.inc(batch.duplicates)
