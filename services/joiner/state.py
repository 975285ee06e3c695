"""The join of one partition: events in, decisions out. No Kafka, no wall clock.

The log of user events is the only order and its newest `occurred_at` the only clock; lists are a table. What an event decides depends
on the log up to it and on the lists, not on when a list was read, as long as it comes within the window.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from services.joiner.checkpoints import Checkpoint, Checkpoints
from services.joiner.events import Event
from services.joiner.held import HeldList, HeldLists, ShownItem
from services.joiner.ledger import Ledger
from services.joiner.lists import ServedList
from services.joiner.outcomes import Negative, NextItem, Outcome, Place, Positive, Refused, Shown, Upgrade
from services.joiner.policy import AttributionPolicy

_NEVER = -(2**63)


@dataclass(slots=True, eq=False)
class Waiting:
    """An event whose list or impression is not there yet. `clock` is the event time when it came, `due` when it is given up."""

    event: Event
    clock: int
    due: int
    checkpoint: Checkpoint
    considered: HeldList | None = None
    settled: bool = False


@dataclass(slots=True, eq=False)
class Closing:
    """Items of a list that were shown together and close together."""

    held: HeldList
    items: list[ShownItem]


@dataclass
class JoinState:
    """Everything that is open in one partition.

    Feed lists with `add_list`, events with `apply` after `begin` for each batch, and wall time of an idle partition with `idle`; each
    gives the outcomes it leads to, in order. Books: every item of a `Shown` ends in exactly one `Positive` or `Negative`, or is
    counted in `open_items`.
    """

    policy: AttributionPolicy
    clock: int = _NEVER
    list_time: int = _NEVER
    ledger: Ledger = field(default_factory=Ledger)
    replaying: bool = False
    open_items: int = 0
    _idle_clock: int = _NEVER
    _lists: HeldLists = field(default_factory=HeldLists)
    _checkpoints: Checkpoints = field(default_factory=Checkpoints)
    _impressions: defaultdict[str, list[Waiting]] = field(default_factory=lambda: defaultdict(list))
    _clicks: defaultdict[str, list[Waiting]] = field(default_factory=lambda: defaultdict(list))
    _unattributed: defaultdict[str, list[Waiting]] = field(default_factory=lambda: defaultdict(list))
    _unlisted: defaultdict[str, list[Waiting]] = field(default_factory=lambda: defaultdict(list))
    _due: list[tuple[int, int, Closing | Waiting]] = field(default_factory=list)
    _sequence: count = field(default_factory=count)  # type: ignore[type-arg]  # count is not generic at run time

    @property
    def watermark(self) -> int:
        """The time that windows are judged at: the log's clock, moved on while the partition is idle."""
        return max(self.clock, self._idle_clock)

    @property
    def has_clock(self) -> bool:
        """Whether any event has come at all."""
        return self.clock != _NEVER

    @property
    def busy(self) -> bool:
        """Whether the passing of time can still lead to something."""
        return bool(self._due) or len(self._lists) > 0

    def oldest_batch(self) -> Checkpoint | None:
        return self._checkpoints.oldest(self.clock)

    def oldest_list(self) -> HeldList | None:
        return self._lists.oldest()

    def begin(self, events_offset: int, own_offset: int) -> None:
        """A batch of events follows that begins at `events_offset`; the worker's own output stands at `own_offset`."""
        self._checkpoints.begin(Checkpoint(events_offset, own_offset, self.clock))

    def add_list(self, served: ServedList) -> list[Outcome]:
        """Take a list in and settle what waited for it."""
        self.list_time = max(self.list_time, served.requested_at)
        admit_until = self.list_time + self.policy.span_ms(served.scenario)
        held = HeldList(served, self.list_time, admit_until, admit_until)
        if self._lists.add(held) is not None:
            return []
        out: list[Outcome] = []
        impressions = self._take_impressions(served)
        for waiting in impressions:
            self._show(waiting, held, out)
        self._settle_clicks(held, out)
        for waiting in impressions:
            self._settle_unattributed(waiting.event.user_id, out)
        self._close(self.watermark, out)
        return out

    def apply(self, event: Event) -> list[Outcome]:
        """Take the next event of the log."""
        out: list[Outcome] = []
        if event.occurred_at > self.clock:
            self.clock = event.occurred_at
            self._close(self.clock, out)
            if not self.replaying:
                self._lists.forget(self.clock)
        self._idle_clock = _NEVER
        if not event.is_impression and event.weight <= 0:
            return out
        due = self.clock + self.policy.span_ms(event.scenario)
        first = self._checkpoints.first_seen(event.event_id)
        if first is not None:
            first.keep(due)
            return out
        waiting = Waiting(event, self.clock, due, self._checkpoints.current)
        waiting.checkpoint.keep(due)
        if event.is_impression:
            self._impression(waiting, out)
        elif event.event_id not in self.ledger.events:
            self._positive(waiting, out)
        return out

    def idle(self, until: int) -> list[Outcome]:
        """Wall time has passed and no event is unread: judge windows at `until` (ms), let go of lists that nobody asked about."""
        out: list[Outcome] = []
        if until > self.watermark:
            self._idle_clock = until
            self._close(until, out)
        self._lists.forget(self.clock, self.list_time)
        return out

    def settle(self, watermark: int) -> list[Outcome]:
        """A replay is over at this watermark: what nothing needs any more is let go, and the ledger with it."""
        out: list[Outcome] = []
        if watermark > self.clock:
            self._idle_clock = watermark
        self._close(self.watermark, out)
        self.replaying = False
        self.ledger = Ledger()
        self._lists.forget(self.clock)
        return out

    def open_by_scenario(self) -> Iterator[str]:
        """The scenario of each open item."""
        for _, _, entry in self._due:
            if isinstance(entry, Closing):
                yield from (entry.held.served.scenario for item in entry.items if item.label is None)

    def _impression(self, waiting: Waiting, out: list[Outcome]) -> None:
        event = waiting.event
        assert event.request_id is not None
        held = self._lists.find(event.request_id, event.user_id)
        if held is not None:
            self._show(waiting, held, out)
            return
        self._impressions[event.request_id].append(waiting)
        self._unlisted[event.user_id].append(waiting)
        self._push(waiting.due, waiting)

    def _show(self, waiting: Waiting, held: HeldList, out: list[Outcome]) -> None:
        event, due = waiting.event, waiting.due
        held.keep(due)
        waiting.checkpoint.keep(held.admit_until)
        if held.checkpoint is None:
            held.checkpoint = waiting.checkpoint
        held.checkpoint.keep(due)
        if waiting.clock > held.admit_until:
            out.append(Refused(event.message, "unknown_request", "shown after the list's window"))
            return
        shown = self._newly_shown(waiting, held)
        still_open = [item for item in shown if item.label is None]
        if shown:
            out.append(Shown(held.served.scenario, len(shown)))
        if still_open:
            self.open_items += len(still_open)
            self._push(due, Closing(held, still_open))
        self._settle_clicks(held, out)

    def _newly_shown(self, waiting: Waiting, held: HeldList) -> list[ShownItem]:
        event, places = waiting.event, held.places()
        until = event.occurred_at + self.policy.window_ms(held.served.scenario)
        found = []
        for item_id in places if event.item_id is None else (event.item_id,):
            if item_id in held.shown or item_id not in places:
                continue
            item = ShownItem(Place(places[item_id], event.occurred_at, until), event.offset)
            self._recall(held.served, item_id, item)
            held.shown[item_id] = item
            found.append(item)
        return found

    def _recall(self, served: ServedList, item_id: str, item: ShownItem) -> None:
        """Give a shown item the label that the ledger has for it."""
        key = (served.request_id, item_id)
        item.label = self.ledger.labels.get(key)
        if item.label:
            item.actions = set(self.ledger.actions[key])
            item.weight = max(self.policy.weight(served.scenario, action) for action in item.actions)

    def _positive(self, waiting: Waiting, out: list[Outcome]) -> None:
        event = waiting.event
        assert event.item_id is not None
        if event.request_id is None:
            self._attribute(waiting, out)
            return
        held = self._lists.find(event.request_id, event.user_id)
        if held is not None and event.item_id in held.shown:
            self._label(waiting, held, held.shown[event.item_id], out)
        elif held is not None and (event.item_id not in held.places() or event.scenario != held.served.scenario):
            self._attribute(waiting, out)
        else:
            self._wait(waiting, held, self._clicks[event.request_id])

    def _wait(self, waiting: Waiting, held: HeldList | None, queue: list[Waiting]) -> None:
        """Let an action wait, and keep what it would need should it turn out organic."""
        waiting.settled = False
        waiting.considered = waiting.considered or self._considered(waiting)
        for needed in (held, waiting.considered, self._lists.newest_before(waiting.event, waiting.clock)):
            if needed is not None:
                needed.keep(waiting.due)
        queue.append(waiting)
        self._push(waiting.due, waiting)

    def _attribute(self, waiting: Waiting, out: list[Outcome]) -> None:
        """An action without a list of its own goes to the newest shown list that holds its item."""
        event = waiting.event
        if any(unlisted.event.scenario == event.scenario for unlisted in self._unlisted.get(event.user_id, ())):
            self._wait(waiting, None, self._unattributed[event.user_id])
            return
        found = self._lists.shown_to(event)
        if found is None:
            self._organic(waiting, out)
        else:
            self._label(waiting, *found, out)

    def _label(self, waiting: Waiting, held: HeldList, item: ShownItem, out: list[Outcome]) -> None:
        event = waiting.event
        if event.occurred_at <= item.place.until:
            if item.label is None:
                self.open_items -= 1
                item.label = 1
                out.append(Positive(held.served, item.place, event))
                item.actions.add(event.action)
                item.weight = event.weight
            elif item.label and event.weight > item.weight and event.action not in item.actions:
                out.append(Upgrade(held.served, item.place, event))
                item.actions.add(event.action)
                item.weight = event.weight
        out.append(NextItem(event, held.served, item.place, held.served))

    def _organic(self, waiting: Waiting, out: list[Outcome]) -> None:
        held = waiting.considered or self._considered(waiting)
        newest = held or self._lists.newest_before(waiting.event, waiting.clock)
        served = None if held is None else held.served
        out.append(NextItem(waiting.event, served, None, None if newest is None else newest.served))

    def _considered(self, waiting: Waiting) -> HeldList | None:
        return self._lists.newest_before(waiting.event, waiting.clock, holding=waiting.event.item_id)

    def _settle_clicks(self, held: HeldList, out: list[Outcome]) -> None:
        """Label with the actions that waited for this list or for its impression."""
        queue = self._clicks.pop(held.served.request_id, [])
        for waiting in queue:
            if waiting.settled:
                continue
            waiting.settled = waiting.event.user_id == held.served.user_id
            if waiting.settled:
                self._positive(waiting, out)
            else:
                self._clicks[held.served.request_id].append(waiting)

    def _settle_unattributed(self, user_id: str, out: list[Outcome]) -> None:
        for waiting in self._unattributed.pop(user_id, []):
            if not waiting.settled:
                waiting.settled = True
                self._attribute(waiting, out)

    def _take_impressions(self, served: ServedList) -> list[Waiting]:
        """The waiting impressions of this list, which wait no longer."""
        found = [w for w in self._impressions.get(served.request_id, ()) if w.event.user_id == served.user_id]
        for waiting in found:
            self._forget_impression(waiting)
        return found

    def _forget_impression(self, waiting: Waiting) -> None:
        waiting.settled = True
        for index, key in (
            (self._impressions, waiting.event.request_id or ""),
            (self._unlisted, waiting.event.user_id),
        ):
            index[key].remove(waiting)
            if not index[key]:
                del index[key]

    def _push(self, due: int, entry: Closing | Waiting) -> None:
        heapq.heappush(self._due, (due, next(self._sequence), entry))

    def _close(self, now: int, out: list[Outcome]) -> None:
        """Close the windows that ended before `now`, and give up what waited that long."""
        while self._due and self._due[0][0] < now:
            entry = heapq.heappop(self._due)[2]
            if isinstance(entry, Closing):
                self._close_items(entry, out)
            elif not entry.settled:
                self._give_up(entry, out)

    def _close_items(self, closing: Closing, out: list[Outcome]) -> None:
        items = [item for item in closing.items if item.label is None]
        for item in items:
            item.label = 0
        self.open_items -= len(items)
        if items:
            out.append(Negative(closing.held.served, [item.place for item in items]))

    def _give_up(self, waiting: Waiting, out: list[Outcome]) -> None:
        if waiting.event.is_impression:
            self._forget_impression(waiting)
            out.append(Refused(waiting.event.message, "unknown_request", waiting.event.request_id or ""))
            self._settle_unattributed(waiting.event.user_id, out)
            return
        waiting.settled = True
        queue = self._clicks.get(waiting.event.request_id or "", [])
        if waiting in queue:
            queue.remove(waiting)
            if not queue:
                del self._clicks[waiting.event.request_id or ""]
        self._organic(waiting, out)
