"""The lists that the join holds, by request and by user, and how long."""

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from eddy_joiner.core.checkpoints import Checkpoint
from eddy_joiner.core.events import JoinerEvent
from eddy_joiner.core.outcomes import Impression
from eddy_joiner.core.slates import ServedSlate, SlateItem


@dataclass(slots=True, eq=False)
class ShownItem:
    """A shown item. `label` is None while it is open; `shown_by` is the offset of its impression, `weight` that of the
    strongest of its `actions` so far."""

    place: Impression
    shown_by: int
    label: int | None = None
    weight: float = 0.0
    actions: frozenset[str] = frozenset()

    def act(self, action: str, weight: float) -> None:
        """An action that made a label or an upgrade."""
        self.actions |= {action}
        self.weight = weight


@dataclass(slots=True, eq=False)
class HeldList:
    """A list and what became of it.

    `list_time` is the newest request time of the log through it; an impression is taken until the clock passes `admit_until`, and
    the list is forgotten when the clock passes `keep_until`. `checkpoint` is the batch of its first impression.
    """

    served: ServedSlate
    list_time: int
    admit_until: int
    keep_until: int
    checkpoint: Checkpoint | None = None
    shown: dict[str, ShownItem] = field(default_factory=dict)
    gone: bool = False
    _places: dict[str, SlateItem] | None = None

    def keep(self, until: int) -> None:
        if until > self.keep_until:
            self.keep_until = until

    def impressions(self) -> dict[str, SlateItem]:
        """The list by item, decoded once it is asked for."""
        if self._places is None:
            self._places = self.served.items()
        return self._places

    def holds(self, item_id: str) -> bool:
        """Whether the item was considered for the list, shown or not."""
        return self.served.may_hold(item_id) and (
            item_id in self.impressions() or self.served.row_of(item_id) is not None
        )


class HeldLists:
    """All lists that may still matter."""

    def __init__(self) -> None:
        self._by_request: dict[str, HeldList] = {}
        self._by_user: dict[str, list[HeldList]] = {}
        self._in_order: deque[HeldList] = deque()
        self._expiry: list[tuple[int, int, HeldList]] = []
        self._sequence = count()

    def __len__(self) -> int:
        return len(self._by_request)

    def add(self, held: HeldList) -> HeldList | None:
        """Take a list in. A second list of a request is not taken; the first is returned, and is kept as long as the second would be."""
        known = self._by_request.get(held.served.request_id)
        if known is not None:
            known.keep(held.keep_until)
            return known
        self._by_request[held.served.request_id] = held
        self._by_user.setdefault(held.served.user_id, []).append(held)
        self._in_order.append(held)
        heapq.heappush(self._expiry, (held.keep_until, next(self._sequence), held))
        return None

    def find(self, request_id: str | None, user_id: str, clock: int) -> HeldList | None:
        """The user's list of this request, as long as the clock lets it live."""
        held = self._by_request.get(request_id or "")
        return held if held is not None and held.served.user_id == user_id and clock <= held.keep_until else None

    def of_user(self, user_id: str) -> Iterator[HeldList]:
        """The user's lists, in the order of the log, last one first."""
        return reversed(self._by_user.get(user_id, ()))

    def shown_to(self, event: JoinerEvent) -> tuple[HeldList, ShownItem] | None:
        """The item in the list of the event's user and scenario that was shown last, within the window and before the event."""
        best: tuple[HeldList, ShownItem] | None = None
        for held in self.of_user(event.user_id):
            item = held.shown.get(event.item_id or "")
            if item is None or held.served.scenario != event.scenario:
                continue
            if item.shown_by > event.offset or event.occurred_at > item.place.until:
                continue
            if best is None or item.place.shown_at > best[1].place.shown_at:
                best = (held, item)
        return best

    def newest_before(
        self, event: JoinerEvent, clock: int, holding: str | None = None, of_scenario: bool = False
    ) -> HeldList | None:
        """The user's newest list that knew nothing of the event: requested before it, with features that do not include it.

        `clock` is the event time when the event came. With `of_scenario`, a list of the event's scenario; with `holding`, one that also
        considered this item.
        """
        best: HeldList | None = None
        for held in self.of_user(event.user_id):
            served = held.served
            if served.requested_at > event.occurred_at or served.applied_offset >= event.offset:
                continue
            if clock > held.admit_until or (best is not None and served.requested_at <= best.served.requested_at):
                continue
            if (of_scenario or holding is not None) and served.scenario != event.scenario:
                continue
            if holding is None or held.holds(holding):
                best = held
        return best

    def forget(self, clock: int, other_clock: int | None = None) -> None:
        """Drop what the clock has passed; with `other_clock`, also what nobody asked about and that has passed."""
        latest = clock if other_clock is None else max(clock, other_clock)
        still_held = []
        while self._expiry and self._expiry[0][0] < latest:
            held = heapq.heappop(self._expiry)[2]
            untouched = held.checkpoint is None and held.keep_until == held.admit_until
            if held.keep_until < clock or (untouched and held.keep_until < latest):
                self._drop(held)
            else:
                still_held.append(held)
        for held in still_held:
            heapq.heappush(self._expiry, (held.keep_until, next(self._sequence), held))

    def oldest(self) -> HeldList | None:
        """The first list of the log that is still held."""
        while self._in_order and self._in_order[0].gone:
            self._in_order.popleft()
        return self._in_order[0] if self._in_order else None

    def _drop(self, held: HeldList) -> None:
        held.gone = True
        held.served = held.served._replace(raw=b"")
        del self._by_request[held.served.request_id]
        of_user = self._by_user[held.served.user_id]
        of_user.remove(held)
        if not of_user:
            del self._by_user[held.served.user_id]
