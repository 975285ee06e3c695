"""The one place that touches Faust (it has no type stubs): an application that takes whole batches.

Faust keeps membership, assignment, recovery of both tables from their changelogs (which are the published topics) and commits. What
is ours: `BatchConsumer` hands all records that one fetch brought to a handler instead of one message at a time, and counts them as
finished when the handler says so; `RecordStore` keeps a table's records by partition.

An exact restart rests on three rules. A partition's finished offset moves only after the handler, which writes and waits for the
acknowledgements, is done with everything before it. A revoked partition is given up only once what is being handled is finished. And a
batch that does not begin where the last one ended is fetched again, since a record that overtakes others would make them look applied.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import faust
import structlog
from faust.exceptions import ConsumerNotStarted
from faust.stores import memory
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from shared.kafka import MAX_REQUEST_BYTES

log = structlog.get_logger()

Batches = Mapping[TP, Sequence[Any]]


@dataclass(frozen=True)
class FaustOptions:
    """How the application joins its group and how it fetches and commits.

    `url` names the member among the others. With an `instance_id` it must be the same after a restart, since the group hands the
    restarted member the assignment that it had.
    """

    group: str
    servers: str
    datadir: str
    url: str
    instance_id: str | None
    session_timeout_sec: float
    commit_interval_sec: float
    batch_records: int


class Handler(Protocol):
    """Takes what was fetched. `turn` is called on every turn of the loop, records or not."""

    def turn(self) -> None: ...

    async def handle(self, batches: Batches) -> None:
        """Handle records of source topics, in order within a partition; call `finished` for what is done."""

    async def settle(self) -> None:
        """Return when nothing is being handled any more; drop what was not begun."""


class BatchConsumer(driver.Consumer):  # type: ignore[misc]  # Faust is untyped
    """Faust's consumer, but records of source topics go to the handler by whole batches."""

    handler: Handler

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._finished: dict[TP, int] = {}
        self._expected: dict[TP, int] = {}
        self._gaps: dict[TP, int] = {}

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        """Yield changelog records, as Faust's recovery needs them, and hand all others over."""
        records, active = await self._wait_next_records(timeout)
        self.handler.turn()
        if records is None or self.should_stop:
            return
        if not self.flow_active:
            await self._return_to_committed()
            return
        # An empty set of active partitions is none to us and all to aiokafka.
        fetched = {tp: batch for tp, batch in records.items() if tp in active}
        sources = {tp: batch for tp, batch in fetched.items() if not self._is_changelog_tp(tp)}
        for tp in fetched.keys() - sources.keys():
            for record in fetched[tp]:
                if not self.flow_active:
                    return
                yield tp, self._to_message(tp, record)
        if sources and self.flow_active:
            await self._hand_over(sources)

    async def _hand_over(self, sources: Batches) -> None:
        known = {tp: batch for tp, batch in sources.items() if tp in self._expected}
        following = {tp: batch for tp, batch in known.items() if self._follows(tp, batch[0].offset)}
        self._expected.update({tp: batch[-1].offset + 1 for tp, batch in following.items()})
        await self.handler.handle(following)
        again = {tp: self._expected[tp] for tp in known.keys() - following.keys() if tp in self._expected}
        if again:
            await self.seek_wait(again)

    def _follows(self, tp: TP, first: int) -> bool:
        """Whether `first` may come next. A gap is believed when fetching again shows the same (a compacted or aborted stretch)."""
        expected = self._expected[tp]
        if first <= expected or self._gaps.get(tp) == expected:
            return True
        self._gaps[tp] = expected
        return False

    def finished(self, tp: TP, next_offset: int) -> None:
        """Everything before `next_offset` is written and acknowledged: it may be committed."""
        if tp in self._expected:
            self._finished[tp] = next_offset

    async def _return_to_committed(self) -> None:
        try:
            await self.perform_seek()
        except Exception as error:  # noqa: BLE001  # the assignment may be changing under the seek; a new one seeks again
            self.log.info("Cannot seek while rebalancing: %r", error)

    async def perform_seek(self) -> None:
        """Go back to what is committed, or to the beginning: aiokafka leaves a partition without a commit where it is."""
        committed = await self.seek_to_committed()
        sources = {tp: offset for tp, offset in committed.items() if not self._is_changelog_tp(tp)}
        fresh = [tp for tp, offset in sources.items() if not offset]
        if fresh:
            beginnings = await self.earliest_offsets(*fresh)
            await self.seek_wait(beginnings)
            sources.update(beginnings)
        self._expected = sources
        self._committed_offset.update({tp: offset for tp, offset in committed.items() if offset})

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await super().on_partitions_revoked(revoked)
        for tp in revoked:
            self._finished.pop(tp, None)
            self._expected.pop(tp, None)

    async def wait_empty(self) -> None:
        """Called before partitions go and before the process ends."""
        await self.handler.settle()
        await self.commit()

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> list[TP]:
        return [tp for tp in self._finished if topics is None or tp in topics or tp.topic in topics]

    def _new_offset(self, tp: TP) -> int | None:
        return self._finished.get(tp)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's check counts messages that agents took; ours is the handler's turn."""


class _Producer(driver.Producer):  # type: ignore[misc]  # Faust is untyped
    """An idempotent producer: a retried request cannot put an older state behind a newer one."""

    def _settings_extra(self) -> dict[str, Any]:
        return {"acks": "all", "enable_idempotence": True}


class _Transport(driver.Transport):  # type: ignore[misc]  # Faust is untyped
    Consumer = BatchConsumer
    Producer = _Producer


class RecordStore(memory.Store):  # type: ignore[misc]  # Faust is untyped
    """A table's records by partition, as they were published.

    `replaces(old, new)` says whether a record read back takes the place of the one before it (None when there is none): a worker that
    was paused and lost its partitions may still get a late write through, and must not take the state back.
    """

    replaces: Callable[[bytes | None, bytes], bool]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.partitions: dict[int, dict[bytes, bytes]] = defaultdict(dict)
        self._acknowledged: dict[TP, int] = {}
        super().__init__(*args, **kwargs)

    def read(self, partition: int, key: bytes) -> bytes | None:
        return self.partitions[partition].get(key)

    def write(self, partition: int, key: bytes, value: bytes) -> None:
        self.partitions[partition][key] = value

    def apply_changelog_batch(self, batch: Iterable[Any], to_key: Any, to_value: Any) -> None:
        for event in batch:
            message = event.message
            records = self.partitions[message.partition]
            if message.value is None:
                records.pop(message.key, None)
            elif self.replaces(records.get(message.key), message.value):
                records[message.key] = message.value
            else:
                log.warning("record_not_taken", topic=message.topic, partition=message.partition, offset=message.offset)
            self.set_persisted_offset(message.tp, message.offset)

    def persisted_offset(self, tp: TP) -> int | None:
        """Recovery goes on from here: what this process wrote itself need not be read again."""
        return self._acknowledged.get(tp)

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        self._acknowledged[tp] = max(offset, self._acknowledged.get(tp, -1))

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        for tp in revoked:
            if tp.topic == self.table.changelog_topic_name:
                self.partitions.pop(tp.partition, None)
                self._acknowledged.pop(tp, None)

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Partitions that went were dropped when they went."""

    def size(self) -> int:
        return sum(map(len, self.partitions.values()))


class _Table(faust.Table):  # type: ignore[misc]  # Faust is untyped
    def _new_store(self) -> RecordStore:
        return RecordStore("memory://", self.app, self, table_name=self.name)


class FaustApp:
    """A Faust application over source topics and tables, all with the same partitions."""

    def __init__(self, options: FaustOptions) -> None:
        self.raw = faust.App(
            options.group,
            broker=";".join(f"kafka://{server.strip()}" for server in options.servers.split(",")),
            datadir=options.datadir,
            canonical_url=options.url,
            Table=_Table,
            key_serializer="raw",
            value_serializer="raw",
            web_enabled=False,
            topic_disable_leader=True,
            stream_wait_empty=True,
            consumer_group_instance_id=options.instance_id,
            consumer_auto_offset_reset="earliest",
            broker_session_timeout=options.session_timeout_sec,
            broker_heartbeat_interval=options.session_timeout_sec / 4,
            broker_commit_interval=options.commit_interval_sec,
            broker_max_poll_records=options.batch_records,
            producer_compression_type="lz4",
            producer_max_request_size=MAX_REQUEST_BYTES,
            producer_max_batch_size=256 * 1024,
        )
        self.raw.transport = self.raw.producer_transport = _Transport(self.raw.conf.broker_consumer, self.raw)

    def table(self, topic: str, replaces: Callable[[bytes | None, bytes], bool]) -> RecordStore:
        """Records of `topic` by key, recovered before any source record is handed over."""
        changelog = self.raw.topic(topic, acks=False, internal=True, allow_empty=True)
        table = self.raw.Table(topic, key_type=bytes, value_type=bytes, changelog_topic=changelog, use_partitioner=True)
        store: RecordStore = table.data
        store.replaces = replaces
        return store

    async def send(self, topic: str, key: bytes, value: bytes, partition: int | None = None) -> Awaitable[Any]:
        """Queue a record; the awaitable ends with its metadata once it is acknowledged."""
        future: Awaitable[Any] = await self.raw.producer.send(topic, key, value, partition, None, None)
        return future

    @property
    def consumer(self) -> BatchConsumer:
        consumer: BatchConsumer = self.raw.consumer
        return consumer

    @property
    def recovered(self) -> bool:
        """Whether the tables hold all that was published, and records are being handed over."""
        return bool(self.raw.tables.actives_ready)

    def remaining(self) -> int:
        """Changelog records that recovery has yet to read."""
        return int(self.raw.tables.recovery.active_remaining_total())

    def check(self) -> None:
        """Raise what ended the membership in the group: Faust fetches on without noticing."""
        consumer = self.consumer._thread._consumer
        if consumer is not None and consumer._coordinator is not None:
            consumer._coordinator.check_errors()

    @property
    def assigned(self) -> bool:
        """Whether the group gave this member partitions."""
        try:
            return bool(self.raw.consumer.assignment())
        except ConsumerNotStarted:
            return False

    async def run(self, handler: Handler, sources: Iterable[str]) -> None:
        """Hand over the records of the topics `sources` until cancelled; raises what it crashed of."""
        self.consumer.handler = handler
        for topic in sources:
            self.raw.topics.add(self.raw.topic(topic))
        try:
            await self.raw.start()
            await self.raw.wait_until_stopped()
        finally:
            await asyncio.shield(self.raw.stop())
        raise self.raw.crash_reason or RuntimeError("Faust stopped by itself")
