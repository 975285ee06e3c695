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


@dataclass(slots=True, eq=False)
class ImpressionState:
    """An impression and its label, None while it is open.

    `event_offset` is the offset of the impression event, `weight` that of the strongest of the `actions` so far.
    """

    impression: Impression
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

    `slate_clock` is the newest request time of the slates up to and including this one. The slate admits impressions until the clock
    passes `admit_until`, and is dropped when the clock passes `keep_until`. `batch` is the batch of its first impression.
    """

    slate: ServedSlate
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
        self._expiry: list[tuple[int, int, RetainedSlate]] = []
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
        heapq.heappush(self._expiry, (retained.keep_until, next(self._sequence), retained))
        return None

    def find(self, request_id: str | None, user_id: str, clock: int) -> RetainedSlate | None:
        """The user's slate of this request, unless the clock has passed its `keep_until`."""
        retained = self._by_request.get(request_id or "")
        if retained is None or retained.slate.user_id != user_id or clock > retained.keep_until:
            return None
        return retained

    def of_user(self, user_id: str) -> Iterator[RetainedSlate]:
        """The user's slates, the last one of the log first."""
        return reversed(self._by_user.get(user_id, ()))

    def last_impression(self, event: JoinerEvent) -> tuple[RetainedSlate, ImpressionState] | None:
        """The last impression of the event's item, user and scenario before the event and within its window, with its slate."""
        last: tuple[RetainedSlate, ImpressionState] | None = None
        for retained in self.of_user(event.user_id):
            state = retained.impressions.get(event.item_id or "")
            if state is None or retained.slate.scenario != event.scenario:
                continue
            if state.event_offset > event.offset or event.occurred_at > state.impression.until:
                continue
            if last is None or state.impression.shown_at > last[1].impression.shown_at:
                last = (retained, state)
        return last

    def newest_before(
        self, event: JoinerEvent, clock: int, including: str | None = None, same_scenario: bool = False
    ) -> RetainedSlate | None:
        """The user's newest slate from before the event: requested before it, with features that do not include it.

        `clock` is the event time at the arrival of the event. With `same_scenario`, only slates of the event's scenario count; with
        `including`, only those of the scenario that have this item in the slate or among its candidates.
        """
        newest: RetainedSlate | None = None
        for retained in self.of_user(event.user_id):
            slate = retained.slate
            if slate.requested_at > event.occurred_at or slate.applied_offset >= event.offset:
                continue
            if clock > retained.admit_until or (newest is not None and slate.requested_at <= newest.slate.requested_at):
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

    def drop_expired(self, clock: int, unused_clock: int | None = None) -> None:
        """Drop the slates that the clock has passed, and those without any event that `unused_clock` has passed."""
        latest = clock if unused_clock is None else max(clock, unused_clock)
        kept = []
        while self._expiry and self._expiry[0][0] < latest:
            retained = heapq.heappop(self._expiry)[2]
            if retained.dropped:
                continue
            unused = retained.batch is None and retained.keep_until == retained.admit_until
            if retained.keep_until < clock or (unused and retained.keep_until < latest):
                self._drop(retained)
            else:
                kept.append(retained)
        for retained in kept:
            heapq.heappush(self._expiry, (retained.keep_until, next(self._sequence), retained))

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
