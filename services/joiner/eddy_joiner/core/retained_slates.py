"""The slates that the join retains, by request and by user."""

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from eddy_joiner.core.erasures import UserErasure
from eddy_joiner.core.events import JoinerEvent
from eddy_joiner.core.join_batches import JoinBatch
from eddy_joiner.core.outcomes import Impression
from eddy_joiner.core.slates import ServedSlate, SlateItem
from eddy_joiner.core.timelines import TIMELINES, Times


@dataclass(slots=True, eq=False)
class ImpressionState:
    """An impression and its label, None while it is open.

    `at` is its time on the timeline of the slate. `event_offset` is the offset of the impression event,
    `weight` that of the strongest of the `actions` so far.
    """

    impression: Impression
    at: int
    event_offset: int
    label: int | None = None
    weight: float = 0.0
    actions: frozenset[str] = frozenset()

    def add_action(self, action: str, weight: float) -> None:
        """Add an action that led to a label or an upgrade."""
        self.actions |= {action}
        self.weight = weight


@dataclass(slots=True, eq=False)
class RetainedSlate:
    """A slate and its impressions, by item id.

    Times are those of the slate's `timeline`: `time` is its own; it admits impressions until the clock passes `admit_until`, and is dropped
    when the clock passes `keep_until`. `batch` is the batch of its first impression. `slate_clock` is the newest request time of the
    replayed slates up to and including this one.
    """

    slate: ServedSlate
    timeline: int
    time: int
    slate_clock: int
    admit_until: int
    keep_until: int
    batch: JoinBatch | None = None
    impressions: dict[str, ImpressionState] = field(default_factory=dict)
    dropped: bool = False
    _items: dict[str, SlateItem] | None = None

    def keep(self, until: int) -> None:
        """Keep the slate at least until the clock has passed `until`."""
        if until > self.keep_until:
            self.keep_until = until

    def admits(self, clocks: Times) -> bool:
        """Whether an impression that arrives at these times of the clocks is in time."""
        return clocks[self.timeline] <= self.admit_until

    def items(self) -> dict[str, SlateItem]:
        """The items of the slate by id, decoded at the first call."""
        if self._items is None:
            self._items = self.slate.items()
        return self._items

    def includes(self, item_id: str) -> bool:
        """Whether the item is in the slate or among its candidates."""
        return self.slate.may_include(item_id) and (item_id in self.items() or self.slate.row_of(item_id) is not None)


class RetainedSlates:
    """All slates that an event may still refer to."""

    def __init__(self) -> None:
        self._by_request: dict[str, RetainedSlate] = {}
        self._by_user: dict[str, list[RetainedSlate]] = {}
        self._in_order: deque[RetainedSlate] = deque()
        self._expiry: tuple[list[tuple[int, int, RetainedSlate]], ...] = tuple([] for _ in TIMELINES)
        self._sequence = count()

    def __len__(self) -> int:
        return len(self._by_request)

    def add(self, retained: RetainedSlate) -> RetainedSlate | None:
        """Retain a slate; returns None.

        If there is a slate of the same request already, that one is returned instead, and kept as long as the second would have been.
        """
        first = self._by_request.get(retained.slate.request_id)
        if first is not None:
            first.keep(retained.keep_until)
            return first
        self._by_request[retained.slate.request_id] = retained
        self._by_user.setdefault(retained.slate.user_id, []).append(retained)
        self._in_order.append(retained)
        heapq.heappush(self._expiry[retained.timeline], (retained.keep_until, next(self._sequence), retained))
        return None

    def find(self, request_id: str | None, user_id: str, clocks: Times) -> RetainedSlate | None:
        """The user's slate of this request, unless its clock has passed its `keep_until`."""
        retained = self._by_request.get(request_id or "")
        if retained is None or retained.slate.user_id != user_id or clocks[retained.timeline] > retained.keep_until:
            return None
        return retained

    def of_user(self, user_id: str) -> Iterator[RetainedSlate]:
        """The user's slates, the last one of the log first."""
        return reversed(self._by_user.get(user_id, ()))

    def last_impression(self, event: JoinerEvent, times: Times) -> tuple[RetainedSlate, ImpressionState] | None:
        """The last impression of the event's item, user and scenario before the event and within its window, with its slate.

        `times` are the event's own on each timeline.
        """
        last: tuple[RetainedSlate, ImpressionState] | None = None
        for retained in self.of_user(event.user_id):
            state = retained.impressions.get(event.item_id or "")
            if state is None or retained.slate.scenario != event.scenario:
                continue
            if state.event_offset > event.offset or times[retained.timeline] > state.impression.until:
                continue
            if last is None or (state.at, state.event_offset) > (last[1].at, last[1].event_offset):
                last = (retained, state)
        return last

    def newest_before(
        self,
        event: JoinerEvent,
        times: Times,
        clocks: Times,
        including: str | None = None,
        same_scenario: bool = False,
    ) -> RetainedSlate | None:
        """The user's newest slate from before the event: with features that do not include it, and a time before that of the event.

        `times` are the event's own on each timeline, `clocks` those at its arrival. With `same_scenario`, only slates of the event's
        scenario count; with `including`, only those of the scenario that have this item in the slate or among its candidates.
        """
        newest: RetainedSlate | None = None
        for retained in self.of_user(event.user_id):
            slate = retained.slate
            if retained.time > times[retained.timeline] or slate.applied_offset >= event.offset:
                continue
            if not retained.admits(clocks) or (newest is not None and retained.time <= newest.time):
                continue
            if (same_scenario or including is not None) and slate.scenario != event.scenario:
                continue
            if including is None or retained.includes(including):
                newest = retained
        return newest

    def forget(self, erasure: UserErasure) -> list[RetainedSlate]:
        """Drop the slates that an erasure covers; returns them."""
        covered = [retained for retained in self.of_user(erasure.user_id) if erasure.covers(retained.slate)]
        for retained in covered:
            self._drop(retained)
        return covered

    def drop_expired(self, timeline: int, clock: int, unused_clock: int | None = None) -> None:
        """Drop the slates of a timeline that its clock has passed, and those without any event that `unused_clock` has passed."""
        latest = clock if unused_clock is None else max(clock, unused_clock)
        expiry, kept = self._expiry[timeline], []
        while expiry and expiry[0][0] < latest:
            retained = heapq.heappop(expiry)[2]
            if retained.dropped:
                continue
            unused = retained.batch is None and retained.keep_until == retained.admit_until
            if retained.keep_until < clock or (unused and retained.keep_until < latest):
                self._drop(retained)
            else:
                kept.append(retained)
        for retained in kept:
            heapq.heappush(expiry, (retained.keep_until, next(self._sequence), retained))

    def oldest(self) -> RetainedSlate | None:
        """The first slate of the log that is not dropped."""
        while self._in_order and self._in_order[0].dropped:
            self._in_order.popleft()
        return self._in_order[0] if self._in_order else None

    def _drop(self, retained: RetainedSlate) -> None:
        retained.dropped = True
        retained.slate = retained.slate._replace(raw=b"")
        del self._by_request[retained.slate.request_id]
        of_user = self._by_user[retained.slate.user_id]
        of_user.remove(retained)
        if not of_user:
            del self._by_user[retained.slate.user_id]
