"""Events that wait for a slate or an impression that has not arrived yet."""

from collections.abc import Iterable
from dataclasses import dataclass

from eddy_joiner.core.events import JoinerEvent
from eddy_joiner.core.join_batches import JoinBatch
from eddy_joiner.core.retained_slates import RetainedSlate
from eddy_joiner.core.timelines import Times


@dataclass(slots=True, eq=False)
class PendingEvent:
    """An event that waits. `clocks` are those of the timelines when it arrived, but at least its own; `window_ms` is how long it waits.

    `candidate_slate` is the slate whose candidates belong to the event if it remains unattributed.
    """

    event: JoinerEvent
    clocks: Times
    window_ms: int
    batch: JoinBatch
    candidate_slate: RetainedSlate | None = None
    resolved: bool = True

    def due(self, timeline: int) -> int:
        """The time at which the event expires."""
        return self.clocks[timeline] + self.window_ms

    @property
    def times(self) -> Times:
        """The event's own time on each timeline: when it arrived, and when it happened."""
        return self.event.message.timestamp_ms, self.event.occurred_at


class PendingEvents:
    """Impressions that wait for their slate, and interactions that wait for an impression."""

    def __init__(self) -> None:
        self._impressions_by_request: dict[str, list[PendingEvent]] = {}
        self._impressions_by_user: dict[str, list[PendingEvent]] = {}
        self._interactions_by_request: dict[str, list[PendingEvent]] = {}
        self._interactions_by_user: dict[str, list[PendingEvent]] = {}  # without a request of their own

    def add_impression(self, pending: PendingEvent) -> None:
        """Add an impression whose slate has not arrived."""
        _add(self._impressions_by_request, pending.event.request_id or "", pending)
        _add(self._impressions_by_user, pending.event.user_id, pending)

    def add_interaction(self, pending: PendingEvent) -> None:
        """Add an interaction with a slate that has not arrived or was not shown."""
        _add(self._interactions_by_request, pending.event.request_id or "", pending)

    def add_unattributed(self, pending: PendingEvent) -> None:
        """Add an interaction that may belong to a slate whose impression is pending itself."""
        _add(self._interactions_by_user, pending.event.user_id, pending)

    def has_earlier_impression(self, event: JoinerEvent) -> bool:
        """Whether an impression of the event's user and scenario, from before the event, waits for its slate."""
        return any(
            pending.event.scenario == event.scenario and pending.event.offset < event.offset
            for pending in self._impressions_by_user.get(event.user_id, ())
        )

    def take_impressions(self, retained: RetainedSlate) -> list[PendingEvent]:
        """Remove and return the impressions that wait for this slate and arrived while it admits them."""
        admitted = [
            pending
            for pending in self._impressions_by_request.get(retained.slate.request_id, ())
            if pending.event.user_id == retained.slate.user_id and retained.admits(pending.clocks)
        ]
        for pending in admitted:
            self.remove(pending)
        return admitted

    def take_interactions(self, request_id: str | None, user_id: str) -> list[PendingEvent]:
        """Remove and return the user's interactions with this slate and those without a slate, in the order of the log."""
        attributed = [] if request_id is None else self._interactions_with(request_id, user_id)
        return self._take([*attributed, *self._interactions_by_user.get(user_id, ())])

    def take_interactions_with(self, request_id: str, user_id: str) -> list[PendingEvent]:
        """Remove and return the user's interactions with this slate, in the order of the log."""
        return self._take(self._interactions_with(request_id, user_id))

    def forget(self, user_id: str) -> None:
        """Remove all events of a user."""
        waiting = [
            *self._impressions_by_user.get(user_id, ()),
            *self._interactions_by_user.get(user_id, ()),
            *(each for queue in self._interactions_by_request.values() for each in queue),
        ]
        for pending in waiting:
            if pending.event.user_id == user_id and not pending.resolved:
                self.remove(pending)

    def remove(self, pending: PendingEvent) -> None:
        """Remove an event and mark it as resolved."""
        pending.resolved = True
        event = pending.event
        if event.is_impression:
            _remove(self._impressions_by_request, event.request_id or "", pending)
            _remove(self._impressions_by_user, event.user_id, pending)
        else:
            _remove(self._interactions_by_request, event.request_id or "", pending)
            _remove(self._interactions_by_user, event.user_id, pending)

    def _interactions_with(self, request_id: str, user_id: str) -> list[PendingEvent]:
        return [
            pending for pending in self._interactions_by_request.get(request_id, ()) if pending.event.user_id == user_id
        ]

    def _take(self, events: Iterable[PendingEvent]) -> list[PendingEvent]:
        ordered = sorted(events, key=lambda pending: pending.event.offset)
        for pending in ordered:
            self.remove(pending)
        return ordered


def _add(index: dict[str, list[PendingEvent]], key: str, pending: PendingEvent) -> None:
    pending.resolved = False
    index.setdefault(key, []).append(pending)


def _remove(index: dict[str, list[PendingEvent]], key: str, pending: PendingEvent) -> None:
    queue = index.get(key)
    if queue is not None and pending in queue:
        queue.remove(pending)
        if not queue:
            del index[key]
