"""Batches of events that a restart may have to read again."""

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TypeAlias

from eddy_joiner.core.event_ids import EventIds
from eddy_joiner.core.timelines import NEVER, TIMELINES, ReachedTimes, Times

# What makes an event the same as another: the user and the event id.
EventKey: TypeAlias = tuple[str, str]

# Passed batches are joined once there are so many batches more than after the last time.
MIN_JOINED = 64


@dataclass(slots=True, eq=False)
class JoinBatch:
    """The state of the logs before a batch of events.

    `events_offset` is the offset of the batch's first event, `output_offset` the end of the worker's own output, `clocks` those of the
    timelines and `reached` the event times behind them, all before the batch. A restart must read the batch until each clock has passed
    its `keep_until`. `earlier` is the batch that this one has become a part of.
    """

    events_offset: int
    output_offset: int
    clocks: Times
    reached: ReachedTimes
    keep_until: list[int] = field(default_factory=lambda: [NEVER, NEVER])
    earlier: "JoinBatch | None" = None

    def keep(self, timeline: int, until: int) -> None:
        """Keep the batch at least until the clock of the timeline has passed `until`."""
        batch = self
        while batch.earlier is not None:
            batch = batch.earlier
        if until > batch.keep_until[timeline]:
            batch.keep_until[timeline] = until

    def is_passed(self, clocks: Times) -> bool:
        """Whether no clock needs the batch any more."""
        return all(self.keep_until[timeline] < clocks[timeline] for timeline in TIMELINES)


class JoinBatches:
    """The batches that a restart has to read, oldest first, and the ids of their events.

    A restart reads all events from the oldest batch on. A later one that the clocks have passed is thus only a part of the one before it.
    """

    def __init__(self) -> None:
        self._batches: list[JoinBatch] = []
        self._ids = EventIds()
        self._join_at = MIN_JOINED

    def begin(self, batch: JoinBatch) -> None:
        self._batches.append(batch)

    @property
    def current(self) -> JoinBatch:
        """The batch that is being applied."""
        return self._batches[-1]

    def register(self, event: EventKey, offset: int) -> JoinBatch | None:
        """Register the event at `offset`; return the batch of the first event with its id, or None if it is the first itself."""
        first = self._ids.add(*event, offset, self._batches[0].events_offset)
        if first is None:
            return None
        return self._batches[bisect_right(self._batches, first, key=lambda batch: batch.events_offset) - 1]

    def forget(self, user_id: str, before: int) -> None:
        """Forget a user's events before an offset: later ones with the same ids are others."""
        self._ids.forget(user_id, before)

    def oldest(self, clocks: Times) -> JoinBatch | None:
        """Drop the batches that the clocks have passed, and return the oldest remaining one."""
        passed = 0
        while passed < len(self._batches) and self._batches[passed].is_passed(clocks):
            passed += 1
        del self._batches[:passed]
        if len(self._batches) >= self._join_at:
            self._join_passed(clocks)
            self._join_at = 2 * len(self._batches) + MIN_JOINED
        return self._batches[0] if self._batches else None

    def _join_passed(self, clocks: Times) -> None:
        remaining = self._batches[:1]
        for batch in self._batches[1:]:
            if batch.is_passed(clocks):
                batch.earlier = remaining[-1]
            else:
                remaining.append(batch)
        self._batches = remaining
