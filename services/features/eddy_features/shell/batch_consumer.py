"""Faust's consumer, but records go out by whole batches, and what is finished is said by who handles them.

An exact restart rests on these rules. A partition's finished offset moves only after the handler, which writes and waits for the
acknowledgements, is done with everything before it. A revoked partition is given up only once what is being handled is finished. Records
whose fetch overlapped a seek or a change of assignment are fetched again, and so are those that do not begin where the last ones ended: a
record that overtakes others would make them look applied, in a source as in a changelog.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Protocol

import structlog
from aiokafka.errors import IllegalStateError
from faust.types import TP

from eddy.kafka.bus import Bus
from eddy.kafka.framing import is_framed
from eddy_features.shell.faust_private import OpenConsumer, Records

log = structlog.get_logger()


class RecordHandler(Protocol):
    """Takes what was fetched. `turn` is called on every turn of the loop, records or not."""

    def turn(self) -> None: ...

    async def handle(self, batches: Records) -> None:
        """Handle records of source topics, in order within a partition; call `finished` for what is done."""

    async def settle(self) -> None:
        """Return when nothing is being handled any more; drop what was not begun."""


class BatchConsumer(OpenConsumer):
    """Hands source records to `handler` and changelog records to the stores of their tables, which have the changelog's name."""

    handler: RecordHandler
    bus: Bus

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._finished: dict[TP, int] = {}
        self._committed: dict[TP, int] = {}
        self._expected: dict[TP, int] = {}
        self._gaps: dict[TP, int] = {}
        self._moves = 0

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        """Fetch once and hand everything over; nothing is left to yield."""
        moves = self._moves
        records, active = await self.next_fetch(timeout)
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

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """As Faust's; a fetch that overlaps it is fetched again."""
        self._moves += 1
        self._expected.update(partitions)
        try:
            await super().seek_wait(partitions)
        finally:
            self._moves += 1

    async def perform_seek(self) -> None:
        """Go back to what is committed, or to the beginning: aiokafka leaves a partition without a commit where it is."""
        self._moves += 1
        committed = {tp: offset for tp, offset in (await self.seek_to_committed()).items() if not self.is_changelog(tp)}
        fresh = [tp for tp, offset in committed.items() if not offset]
        if fresh:
            beginnings = await self.earliest_offsets(*fresh)
            await self.seek_wait(beginnings)
            committed.update(beginnings)
        self._expected.update(committed)
        self._committed.update(committed)
        self._moves += 1

    def mark_processed(self, tp: TP, next_offset: int) -> None:
        """Everything before `next_offset` is written and acknowledged: it may be committed."""
        if tp in self._expected:
            self._finished[tp] = next_offset

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit what is finished: Faust calls it now and then, and we before partitions go. The arguments are Faust's: it asks for all."""
        held = self.assignment()
        offsets = {
            tp: offset for tp, offset in self._finished.items() if tp in held and offset > self._committed.get(tp, -1)
        }
        if not offsets or not await self.commit_offsets(offsets):
            return False
        self._committed.update({tp: offset for tp, offset in offsets.items() if tp in self._expected})
        return True

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """As Faust's, which calls `wait_empty`; then these are forgotten."""
        await super().on_partitions_revoked(revoked)
        self._moves += 1
        for tp in revoked:
            for known in (self._finished, self._committed, self._expected, self._gaps):
                known.pop(tp, None)

    async def wait_empty(self) -> None:
        """Called before partitions go and before the process ends."""
        await self.handler.settle()
        await self.commit()

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's check counts messages that agents took; ours is the handler's turn."""

    def is_changelog(self, tp: TP) -> bool:
        """Whether the partition is a table's."""
        return tp.topic in self.app.tables.changelog_topics

    async def _unframe(self, records: Records) -> None:
        for tp, batch in records.items():
            for record in batch:
                if is_framed(record.value):
                    record.value = await self.bus.framing.unframe(self.bus.short_name(tp.topic), record.value)

    def _follows(self, tp: TP, batch: Sequence[Any]) -> bool:
        """Whether `batch` may come next. A gap in a source is believed when fetching again shows the same (an aborted stretch)."""
        expected, first = self._expected.get(tp), batch[0].offset
        if expected is None:
            return False
        if first <= expected or self.is_changelog(tp) or self._gaps.get(tp) == expected:
            return True
        self._gaps[tp] = expected
        return False

    async def _hand_over(self, taken: Records) -> None:
        sources: dict[TP, Sequence[Any]] = {}
        for tp, batch in taken.items():
            self._expected[tp] = batch[-1].offset + 1
            if self.is_changelog(tp):
                self._recover(tp, batch)
            else:
                sources[tp] = batch
        if sources:
            await self.handler.handle(sources)

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
