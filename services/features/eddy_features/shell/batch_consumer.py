"""A Faust consumer that hands over whole batches; the handler reports which offsets are processed.

Exactly-once rests on these rules. The processed offset of a partition advances only after the handler has written everything before it and
received the acknowledgements. A revoked partition is released only after the current batch is handled. Records whose fetch overlapped a
seek or a change of assignment are fetched again, and so are records that do not begin where the previous ones ended: a record that
overtakes others would make them look applied, in a source as in a changelog.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Protocol

import structlog
from aiokafka.errors import IllegalStateError
from faust.types import TP

from eddy.contract.topics import RENUMBERED
from eddy.errors import FatalError
from eddy.kafka.bus import Bus
from eddy.kafka.framing import is_framed
from eddy.kafka.gaps import note_gap
from eddy_features.shell.faust_private import OpenConsumer, Records

log = structlog.get_logger()

# Maximum wait for records between two calls of `RecordHandler.on_poll`, which reports readiness.
POLL_SEC = 0.2


class RecordHandler(Protocol):
    """Handles fetched records."""

    def on_poll(self) -> None:
        """Called after every fetch, with or without records."""

    async def handle(self, batches: Records) -> None:
        """Handle records of source topics, in order within a partition, and call `mark_processed` for those that are done."""

    async def discard(self) -> None:
        """Drop queued records, and return when no batch is being handled."""


class BatchConsumer(OpenConsumer):
    """Hands source records to `handler`, and changelog records to the store of the table of that name."""

    handler: RecordHandler
    bus: Bus

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._processed: dict[TP, int] = {}
        self._committed: dict[TP, int] = {}
        self._expected: dict[TP, int] = {}
        self._gaps: dict[TP, int] = {}
        self._seeks = 0

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        """Fetch once and hand over all records. Yields nothing."""
        seeks = self._seeks
        records, active = await self.next_fetch(min(timeout, POLL_SEC))
        await self._unframe(records)
        self.handler.on_poll()
        if not self.should_stop and records:
            valid = self.flow_active and seeks == self._seeks
            # Faust's set of active partitions may be empty by now. That means none of them, but aiokafka reads it as all.
            accepted = {
                tp: batch for tp, batch in records.items() if valid and tp in active and self._continues(tp, batch)
            }
            await self._hand_over(accepted)
            await self._fetch_again(records.keys() - accepted.keys())
        return
        yield  # Faust iterates over the result, so this must be a generator

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Seek as Faust does; a fetch that overlaps the seek is repeated."""
        self._seeks += 1
        self._expected.update(partitions)
        try:
            await super().seek_wait(partitions)
        finally:
            self._seeks += 1

    async def perform_seek(self) -> None:
        """Seek to the committed offsets, or to the beginning: aiokafka would not move a partition that has no commit."""
        self._seeks += 1
        committed = {tp: offset for tp, offset in (await self.seek_to_committed()).items() if not self.is_changelog(tp)}
        fresh = [tp for tp, offset in committed.items() if not offset]
        if fresh:
            beginnings = await self.earliest_offsets(*fresh)
            await self.seek_wait(beginnings)
            committed.update(beginnings)
        self._expected.update(committed)
        self._committed.update(committed)
        self._seeks += 1

    def mark_processed(self, tp: TP, next_offset: int) -> None:
        """Record that everything before `next_offset` is written and acknowledged, so that it may be committed."""
        if tp in self._expected:
            self._processed[tp] = next_offset

    def owned(self, topic: str) -> set[int]:
        """The numbers of the assigned partitions of a topic (short name)."""
        return {tp.partition for tp in self._expected if tp.topic == self.bus.full_name(topic)}

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit processed offsets. Called by Faust at intervals and by `wait_empty`; the arguments, which are Faust's, are not used."""
        assigned = self.assignment()
        offsets = {
            tp: offset
            for tp, offset in self._processed.items()
            if tp in assigned and offset > self._committed.get(tp, -1)
        }
        if not offsets or not await self.commit_offsets(offsets):
            return False
        self._committed.update({tp: offset for tp, offset in offsets.items() if tp in self._expected})
        return True

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Revoke as Faust does, which calls `wait_empty`, then drop the offsets of these partitions."""
        await super().on_partitions_revoked(revoked)
        self._seeks += 1
        for tp in revoked:
            for offsets in (self._processed, self._committed, self._expected, self._gaps):
                offsets.pop(tp, None)

    async def wait_empty(self) -> None:
        """Finish the current batch and commit it. Called before partitions are revoked and before the process ends."""
        await self.handler.discard()
        await self.commit()

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Disable Faust's check, which counts messages of agents. `RecordHandler.on_poll` reports liveness instead."""

    def is_changelog(self, tp: TP) -> bool:
        """Whether the partition belongs to the changelog of a table."""
        return tp.topic in self.app.tables.changelog_topics

    async def _unframe(self, records: Records) -> None:
        for tp, batch in records.items():
            for record in batch:
                if is_framed(record.value):
                    record.value = await self.bus.framing.unframe(self.bus.short_name(tp.topic), record.value)

    def _continues(self, tp: TP, batch: Sequence[Any]) -> bool:
        """Whether `batch` continues its partition. A gap in a source is accepted if a second fetch confirms it (an aborted transaction)."""
        expected, first = self._expected.get(tp), batch[0].offset
        if expected is None:
            return False
        if first < self._committed.get(tp, 0) and not self.is_changelog(tp):
            # Every position starts at the commit, so that the client was reset: the log ends before it.
            raise FatalError(
                f"topic {tp.topic}, partition {tp.partition}: offset {first} follows {self._committed[tp] - 1}. The topic was created "
                f"again or lost records. {RENUMBERED}"
            )
        if first <= expected or self.is_changelog(tp) or self._gaps.get(tp) == expected:
            return True
        self._gaps[tp] = expected
        return False

    async def _hand_over(self, accepted: Records) -> None:
        sources: dict[TP, Sequence[Any]] = {}
        for tp, batch in accepted.items():
            if batch[0].offset > self._expected[tp] and not self.is_changelog(tp):
                await self._note_gap(tp, self._expected[tp])
            self._expected[tp] = batch[-1].offset + 1
            if self.is_changelog(tp):
                self._recover(tp, batch)
            else:
                sources[tp] = batch
        if sources:
            await self.handler.handle(sources)

    async def _note_gap(self, tp: TP, position: int) -> None:
        starts, ends = await self.earliest_offsets(tp), await self.highwaters(tp)
        note_gap(self.bus.short_name(tp.topic), tp.partition, position, starts[tp], max(ends[tp], position))

    def _recover(self, tp: TP, batch: Sequence[Any]) -> None:
        recovery = self.app.tables.recovery
        self.app.tables[tp.topic].data.recover(tp, batch)
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
