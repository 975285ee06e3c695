"""Batches of events that a restart may have to read again."""

from collections import deque
from dataclasses import dataclass, field
from typing import TypeAlias

from eddy_joiner.core.timelines import NEVER, TIMELINES, ReachedTimes, Times

# What makes an event the same as another: the user and the event id.
EventKey: TypeAlias = tuple[str, str]


@dataclass(slots=True, eq=False)
class JoinBatch:
    """The state of the logs before a batch of events.

    `events_offset` is the offset of the batch's first event, `output_offset` the end of the worker's own output, `clocks` those of the
    timelines and `reached` the event times behind them, all before the batch. A restart must read the batch until each clock has passed
    its `keep_until`. `events` are the events that occur in this batch first.
    """

    events_offset: int
    output_offset: int
    clocks: Times
    reached: ReachedTimes
    keep_until: list[int] = field(default_factory=lambda: [NEVER, NEVER])
    events: list[EventKey] = field(default_factory=list)

    def keep(self, timeline: int, until: int) -> None:
        """Keep the batch at least until the clock of the timeline has passed `until`."""
        if until > self.keep_until[timeline]:
            self.keep_until[timeline] = until

    def is_passed(self, clocks: Times) -> bool:
        """Whether no clock needs the batch any more."""
        return all(self.keep_until[timeline] < clocks[timeline] for timeline in TIMELINES)


class JoinBatches:
    """The batches that a restart has to read, oldest first, and their events."""

    def __init__(self) -> None:
        self._batches: deque[JoinBatch] = deque()
        self._by_event: dict[EventKey, JoinBatch] = {}

    def begin(self, batch: JoinBatch) -> None:
        self._batches.append(batch)

    @property
    def current(self) -> JoinBatch:
        """The batch that is being applied."""
        return self._batches[-1]

    def register(self, event: EventKey) -> JoinBatch | None:
        """Register the event with the current batch; return the batch that has registered it before, or None."""
        batch = self._by_event.get(event)
        if batch is None:
            self._by_event[event] = self._batches[-1]
            self._batches[-1].events.append(event)
        return batch

    def forget(self, user_id: str) -> None:
        """Forget the events of a user: later ones with the same ids are others."""
        for event in [event for event in self._by_event if event[0] == user_id]:
            self._by_event.pop(event).events.remove(event)

    def oldest(self, clocks: Times) -> JoinBatch | None:
        """Drop the batches that the clocks have passed, and return the oldest remaining one."""
        while self._batches and self._batches[0].is_passed(clocks):
            for event in self._batches.popleft().events:
                del self._by_event[event]
        return self._batches[0] if self._batches else None
