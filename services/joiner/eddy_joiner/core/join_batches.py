"""Batches of events that a restart may have to read again."""

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class JoinBatch:
    """The state of the logs before a batch of events.

    `events_offset` is the offset of the batch's first event, `output_offset` the end of the worker's own output and `clock` the event
    time, both before the batch. A restart must read the batch until the clock has passed `keep_until`. `event_ids` are the ids that
    occur in this batch first.
    """

    events_offset: int
    output_offset: int
    clock: int
    keep_until: int = -(2**63)
    event_ids: list[str] = field(default_factory=list)

    def keep(self, until: int) -> None:
        """Keep the batch at least until the clock has passed `until`."""
        if until > self.keep_until:
            self.keep_until = until


class JoinBatches:
    """The batches that a restart has to read, oldest first, and the ids of their events."""

    def __init__(self) -> None:
        self._batches: deque[JoinBatch] = deque()
        self._by_event_id: dict[str, JoinBatch] = {}

    def begin(self, batch: JoinBatch) -> None:
        self._batches.append(batch)

    @property
    def current(self) -> JoinBatch:
        """The batch that is being applied."""
        return self._batches[-1]

    def register(self, event_id: str) -> JoinBatch | None:
        """Register the id with the current batch; return the batch that has registered it before, or None."""
        batch = self._by_event_id.get(event_id)
        if batch is None:
            self._by_event_id[event_id] = self._batches[-1]
            self._batches[-1].event_ids.append(event_id)
        return batch

    def oldest(self, clock: int) -> JoinBatch | None:
        """Drop the batches that the clock has passed, and return the oldest remaining one."""
        while self._batches and self._batches[0].keep_until < clock:
            for event_id in self._batches.popleft().event_ids:
                del self._by_event_id[event_id]
        return self._batches[0] if self._batches else None
