"""How far back a restart has to read: the oldest batch of events that may still matter."""

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Checkpoint:
    """Where the logs stood when a batch of events began.

    `events_offset` is the first event of the batch, `own_offset` the next free place of the worker's own output then, `clock` the
    event time then. `keep_until` is the event time until which the batch may still matter; `event_ids` are those seen first in it.
    """

    events_offset: int
    own_offset: int
    clock: int
    keep_until: int = -(2**63)
    event_ids: list[str] = field(default_factory=list)

    def keep(self, until: int) -> None:
        """Whatever happens, a restart must see this batch until the clock has passed `until`."""
        if until > self.keep_until:
            self.keep_until = until


class Checkpoints:
    """The batches that still matter, oldest first, and the ids of their events."""

    def __init__(self) -> None:
        self._batches: deque[Checkpoint] = deque()
        self._seen: dict[str, Checkpoint] = {}

    def begin(self, checkpoint: Checkpoint) -> None:
        self._batches.append(checkpoint)

    @property
    def current(self) -> Checkpoint:
        """The batch that is being applied."""
        return self._batches[-1]

    def first_seen(self, event_id: str) -> Checkpoint | None:
        """The batch that brought this event id first, None when it is new; it is known from then on."""
        known = self._seen.get(event_id)
        if known is None:
            self._seen[event_id] = self._batches[-1]
            self._batches[-1].event_ids.append(event_id)
        return known

    def oldest(self, clock: int) -> Checkpoint | None:
        """Forget what the clock has passed, and give the oldest batch left."""
        while self._batches and self._batches[0].keep_until < clock:
            for event_id in self._batches.popleft().event_ids:
                del self._seen[event_id]
        return self._batches[0] if self._batches else None
