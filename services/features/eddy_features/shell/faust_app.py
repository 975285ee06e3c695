"""The one place that touches Faust (it has no type stubs): an application that takes whole batches.

Faust keeps membership, assignment, seeking, the course of recovery and commits. What is ours: `BatchConsumer` hands over all records
that a fetch brought instead of one message at a time, source records to a handler and changelog records to the tables' stores, and
counts a source partition as finished when the handler says so; `RecordStore` keeps a table's records by partition.

An exact restart rests on these rules. A partition's finished offset moves only after the handler, which writes and waits for the
acknowledgements, is done with everything before it. A revoked partition is given up only once what is being handled is finished. Records
whose fetch overlapped a seek or a change of assignment are fetched again, and so are those that do not begin where the last ones ended: a
record that overtakes others would make them look applied, in a source as in a changelog.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import faust
import structlog
from aiokafka.errors import IllegalStateError
from faust.exceptions import ConsumerNotStarted
from faust.stores import memory
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from eddy.kafka.bus import Bus
from eddy.kafka.framing import framed
from eddy.kafka.login import Login

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
    login: Login
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
    """Faust's consumer, but records go out by whole batches."""

    handler: Handler
    bus: Bus

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._finished: dict[TP, int] = {}
        self._expected: dict[TP, int] = {}
        self._gaps: dict[TP, int] = {}
        self._moves = 0

    def _new_consumer_thread(self) -> Any:
        return _ReadCommitted(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        """Fetch once and hand everything over; nothing is left to yield."""
        moves = self._moves
        records, active = await self._wait_next_records(timeout)
        await self._unframe(records)
        self.handler.turn()
        if not self.should_stop and records:
            good = self.flow_active and moves == self._moves
            # Faust's set of active partitions may have emptied meanwhile, which means none to us and all to aiokafka.
            taken = {tp: batch for tp, batch in records.items() if good and tp in active and self._follows(tp, batch)}
            await self._hand_over(taken)
            await self._fetch_again(records.keys() - taken.keys())
        return
        yield  # makes this the generator that Faust iterates over

    async def _unframe(self, records: Batches) -> None:
        for tp, batch in records.items():
            for record in batch:
                if framed(record.value):
                    record.value = await self.bus.framing.read(self.bus.short_name(tp.topic), record.value)

    def _follows(self, tp: TP, batch: Sequence[Any]) -> bool:
        """Whether `batch` may come next. A gap in a source is believed when fetching again shows the same (an aborted stretch)."""
        expected, first = self._expected.get(tp), batch[0].offset
        if expected is None:
            return False
        if first <= expected or self._is_changelog_tp(tp) or self._gaps.get(tp) == expected:
            return True
        self._gaps[tp] = expected
        return False

    async def _hand_over(self, taken: Batches) -> None:
        sources: dict[TP, Sequence[Any]] = {}
        for tp, batch in taken.items():
            self._expected[tp] = batch[-1].offset + 1
            if self._is_changelog_tp(tp):
                self._recover(tp, batch)
            else:
                sources[tp] = batch
        if sources:
            await self.handler.handle(sources)

    def _recover(self, tp: TP, batch: Sequence[Any]) -> None:
        recovery = self.app.tables.recovery
        self.app.tables._changelogs[tp.topic].data.recover(tp, batch)
        recovery.active_offsets[tp] = batch[-1].offset
        if recovery.in_recovery and not recovery.need_recovery():
            recovery.signal_recovery_end.set()

    async def _fetch_again(self, tps: Iterable[TP]) -> None:
        positions = {tp: self._expected[tp] for tp in tps if tp in self._expected}
        if positions:
            try:
                await self.seek_wait(positions)
            except IllegalStateError:
                log.info("assignment_changed_while_seeking")

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        self._moves += 1
        self._expected.update(partitions)
        try:
            await super().seek_wait(partitions)
        finally:
            self._moves += 1

    def finished(self, tp: TP, next_offset: int) -> None:
        """Everything before `next_offset` is written and acknowledged: it may be committed."""
        if tp in self._expected:
            self._finished[tp] = next_offset

    async def perform_seek(self) -> None:
        """Go back to what is committed, or to the beginning: aiokafka leaves a partition without a commit where it is."""
        self._moves += 1
        committed = {
            tp: offset for tp, offset in (await self.seek_to_committed()).items() if not self._is_changelog_tp(tp)
        }
        fresh = [tp for tp, offset in committed.items() if not offset]
        if fresh:
            beginnings = await self.earliest_offsets(*fresh)
            await self.seek_wait(beginnings)
            committed.update(beginnings)
        self._expected.update(committed)
        self._committed_offset.update(committed)
        self._moves += 1

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await super().on_partitions_revoked(revoked)
        self._moves += 1
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


class _ReadCommitted(driver.AIOKafkaConsumerThread):  # type: ignore[misc]  # Faust is untyped
    """What a publisher took back, by aborting a transaction, did not happen. Faust reads so only where it writes transactions itself."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        return consumer


class _Transport(driver.Transport):  # type: ignore[misc]  # Faust is untyped
    Consumer = BatchConsumer


class RecordStore(memory.Store):  # type: ignore[misc]  # Faust is untyped
    """A table's records by partition, as they were published.

    `replaces(old, new)` says whether a record read back takes the place of the one before it (None when there is none): a worker that
    was paused and lost its partitions may still get a late write through, and must not take the state back.
    """

    replaces: Callable[[bytes | None, bytes], bool]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.partitions: dict[int, dict[bytes, bytes]] = defaultdict(dict)
        self._through: dict[TP, int] = {}
        super().__init__(*args, **kwargs)

    def read(self, partition: int, key: bytes) -> bytes | None:
        return self.partitions[partition].get(key)

    def write(self, partition: int, key: bytes, value: bytes) -> None:
        self.partitions[partition][key] = value

    def recover(self, tp: TP, batch: Sequence[Any]) -> None:
        """Take the next records of a changelog partition."""
        records = self.partitions[tp.partition]
        for record in batch:
            if record.value is None:
                records.pop(record.key, None)
            elif record.key is not None and self.replaces(records.get(record.key), record.value):
                records[record.key] = record.value
            else:
                log.warning("record_not_taken", topic=tp.topic, partition=tp.partition, offset=record.offset)
        self.set_persisted_offset(tp, batch[-1].offset)

    def persisted_offset(self, tp: TP) -> int:
        """Recovery goes on from here: what was read, or written by this process, need not be read again.

        Never None: Faust would go on from where it was when it last had the partition.
        """
        return self._through.get(tp, -1)

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        self._through[tp] = max(offset, self._through.get(tp, -1))

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        for tp in revoked | newly_assigned:
            if tp.topic == self.table.changelog_topic_name:
                self.partitions.pop(tp.partition, None)
                self._through.pop(tp, None)

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
            broker_credentials=_credentials(options.login),
            datadir=options.datadir,
            canonical_url=options.url,
            Table=_Table,
            key_serializer="raw",
            value_serializer="raw",
            web_enabled=False,
            topic_disable_leader=True,
            stream_wait_empty=True,
            table_standby_replicas=0,
            consumer_group_instance_id=options.instance_id,
            consumer_auto_offset_reset="earliest",
            broker_session_timeout=options.session_timeout_sec,
            broker_heartbeat_interval=options.session_timeout_sec / 4,
            broker_commit_interval=options.commit_interval_sec,
            broker_max_poll_records=options.batch_records,
        )
        self.raw.transport = self.raw.producer_transport = _Transport(self.raw.conf.broker_consumer, self.raw)

    def table(self, topic: str, replaces: Callable[[bytes | None, bytes], bool]) -> RecordStore:
        """Records of `topic` by key, recovered before any source record is handed over."""
        changelog = self.raw.topic(topic, acks=False, internal=True, allow_empty=True)
        table = self.raw.Table(topic, key_type=bytes, value_type=bytes, changelog_topic=changelog, use_partitioner=True)
        store: RecordStore = table.data
        store.replaces = replaces
        return store

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

    async def run(self, handler: Handler, bus: Bus, sources: Iterable[str]) -> None:
        """Hand over the records of the topics `sources` until cancelled; raises what it crashed of."""
        self.consumer.handler, self.consumer.bus = handler, bus
        for topic in sources:
            self.raw.topics.add(self.raw.topic(bus.full_name(topic)))
        try:
            await self.raw.start()
            await self.raw.wait_until_stopped()
        finally:
            await asyncio.shield(self.raw.stop())
        raise self.raw.crash_reason or RuntimeError("Faust stopped by itself")


def _credentials(login: Login) -> Any:
    if login.mechanism:
        return faust.SASLCredentials(
            username=login.username, password=login.password, ssl_context=login.tls, mechanism=login.mechanism
        )
    return faust.SSLCredentials(login.tls) if login.tls else None
