"""The join of one partition: events in, decisions out. No Kafka, no wall clock.

The log of user events is the only order and its newest event time (`Event.clock`) the only clock; lists are a table. What an event decides
depends on the log up to it and on the lists, not on when a list was read, as long as it comes within the window.
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

from eddy_joiner.core.checkpoints import Checkpoint, Checkpoints
from eddy_joiner.core.events import JoinerEvent
from eddy_joiner.core.held import HeldList, HeldLists, ShownItem
from eddy_joiner.core.ledger import Ledger
from eddy_joiner.core.outcomes import (
    Impression,
    ImpressionOutcome,
    Negative,
    NextItemOutcome,
    Outcome,
    Positive,
    Refused,
    Upgrade,
)
from eddy_joiner.core.policy import DAY_MS, AttributionPolicy
from eddy_joiner.core.slates import ServedSlate
from eddy_joiner.core.waiting import Waiting, WaitingRoom

NEVER = -(2**63)


@dataclass(slots=True, eq=False)
class Closing:
    """Items of a list that were shown together and close together."""

    held: HeldList
    items: list[ShownItem]


@dataclass
class JoinState:
    """Everything that is open in one partition.

    Feed slates with `add_slate`, events with `apply` after `begin_batch` for each batch, and wall time while idle with `idle`; each
    gives the outcomes it leads to, in order. Every item of an `ImpressionOutcome` ends in exactly one `Positive` or `Negative`, or is
    counted in `open_items`. `clock` is the newest event time, `list_time` the newest request time of the lists.

    After a restart, with the `ledger` of what was written and `replay_until`, the clock by then: feed the lists and events of before
    again, then `settle`. What was due before that clock was written. Other examples that come out of a replay were not, and are owed.
    """

    policy: AttributionPolicy
    clock: int = NEVER
    list_time: int = NEVER
    ledger: Ledger = field(default_factory=Ledger)
    replay_until: int = NEVER
    open_impressions: int = 0
    _idle_clock: int = NEVER
    _lists: HeldLists = field(default_factory=HeldLists)
    _checkpoints: Checkpoints = field(default_factory=Checkpoints)
    _room: WaitingRoom = field(default_factory=WaitingRoom)
    _due: list[tuple[int, int, Closing | Waiting]] = field(default_factory=list)
    _sequence: Iterator[int] = field(default_factory=count)

    @property
    def watermark(self) -> int:
        """The time that windows are judged at: the log's clock, moved on while the partition is idle."""
        return max(self.clock, self._idle_clock)

    @property
    def busy(self) -> bool:
        """Whether the passing of time can still lead to something."""
        return len(self._lists) > 0 or (self.clock != NEVER and bool(self._due))

    def oldest_batch(self) -> Checkpoint | None:
        """The first batch that a restart has to replay."""
        return self._checkpoints.oldest(self.clock)

    def oldest_list(self) -> HeldList | None:
        """The first list that a restart has to read."""
        return self._lists.oldest()

    def open_by_scenario(self) -> Iterator[str]:
        """The scenario of each open item."""
        for _, _, entry in self._due:
            if isinstance(entry, Closing):
                yield from (entry.held.served.scenario for item in entry.items if item.label is None)

    def begin_batch(self, events_offset: int, own_offset: int) -> None:
        """A batch of events follows that begins at `events_offset`; the worker's own output stands at `own_offset`."""
        self._checkpoints.begin(Checkpoint(events_offset, own_offset, self.clock))

    def add_slate(self, served: ServedSlate) -> list[Outcome]:
        """Take a list in and settle what waited for it."""
        self.list_time = max(self.list_time, served.requested_at)
        admit_until = self.list_time + self.policy.admission_ms(served.scenario)
        held = HeldList(served, self.list_time, admit_until, admit_until)
        out: list[Outcome] = []
        if self._lists.add(held) is not None:
            return out
        impressions = self._room.impressions_of(served.request_id, served.user_id, admit_until)
        for waiting in impressions:
            self._show(waiting, held, out)
        if impressions:
            self._settle(self._room.actions_of(served.request_id, served.user_id), out)
        else:
            self._settle(self._room.actions_on(served.request_id, served.user_id), out)
        self._close(self.watermark, out)
        return out

    def apply(self, event: JoinerEvent) -> list[Outcome]:
        """Take the next event of the log."""
        out: list[Outcome] = []
        if event.clock > self.clock:
            self.clock = event.clock
            self._close(self.clock, out)
            if self.replay_until == NEVER:
                self._lists.forget(self.clock)
        self._idle_clock = NEVER
        if event.weight <= 0 and not event.is_impression:
            return out
        due = self.clock + self.policy.window_ms(event.scenario)
        first = self._checkpoints.first_seen(event.event_id)
        if first is not None:
            first.keep(due)
            return out
        waiting = Waiting(event, self.clock, due, self._checkpoints.current)
        waiting.checkpoint.keep(due)
        if event.is_impression:
            self._impression(waiting, out)
        elif due >= self.replay_until and event.event_id not in self.ledger.events:
            self._positive(waiting, out)
        return out

    def idle(self, until: int) -> list[Outcome]:
        """Wall time has passed and no event is unread: judge windows at `until` (ms).

        Lists that no event asked about are let go a day after their window by the lists' own time: events may lag, but not for ever.
        """
        out: list[Outcome] = []
        if until > self.watermark and self.clock != NEVER:
            self._idle_clock = until
            self._close(until, out)
        self._lists.forget(self.clock, self.list_time - DAY_MS)
        return out

    def settle(self, watermark: int) -> list[Outcome]:
        """A replay is over at this watermark: what nothing needs any more is let go, and the ledger with it."""
        out: list[Outcome] = []
        if watermark > self.clock:
            self._idle_clock = watermark
        self._close(self.watermark, out)
        self.replay_until = NEVER
        self.ledger = Ledger()
        self._lists.forget(self.clock)
        return out

    def _impression(self, waiting: Waiting, out: list[Outcome]) -> None:
        event = waiting.event
        held = self._lists.find(event.request_id, event.user_id, waiting.clock)
        if held is None or waiting.clock > held.admit_until:
            self._room.add_impression(waiting)
            self._push(waiting.due, waiting)
        elif self._show(waiting, held, out):
            self._settle(self._room.actions_on(held.served.request_id, event.user_id), out)

    def _show(self, waiting: Waiting, held: HeldList, out: list[Outcome]) -> bool:
        """Open the items that become visible; whether there are any.

        Whoever comes later and finds the list shown depends on the batch of its first impression, so that batch is kept as long.
        """
        # The window is that of the list's scenario, whatever the impression says.
        due = max(waiting.due, waiting.clock + self.policy.window_ms(held.served.scenario))
        held.keep(due)
        waiting.checkpoint.keep(max(due, held.admit_until))
        if held.checkpoint is None:
            held.checkpoint = waiting.checkpoint
        held.checkpoint.keep(due)
        shown = self._newly_shown(waiting.event, held)
        still_open = [item for item in shown if item.label is None]
        if shown:
            after_ms = waiting.event.message.timestamp_ms - held.served.served_at
            out.append(ImpressionOutcome(held.served.scenario, [item.place.listed for item in shown], after_ms))
        if still_open:
            self.open_impressions += len(still_open)
            self._push(due, Closing(held, still_open))
        return bool(shown)

    def _newly_shown(self, event: JoinerEvent, held: HeldList) -> list[ShownItem]:
        impressions = held.impressions()
        until = event.occurred_at + self.policy.window_ms(held.served.scenario)
        found = []
        for item_id in impressions if event.item_id is None else (event.item_id,):
            if item_id in held.shown or item_id not in impressions:
                continue
            item = held.shown[item_id] = ShownItem(
                Impression(impressions[item_id], event.occurred_at, until), event.offset
            )
            if self.ledger.labels:
                self._recall(held.served, item_id, item)
            found.append(item)
        return found

    def _recall(self, served: ServedSlate, item_id: str, item: ShownItem) -> None:
        """Give a shown item the label that the ledger has for it."""
        key = (served.request_id, item_id)
        item.label = self.ledger.labels.get(key)
        if item.label:
            item.actions = frozenset(self.ledger.actions[key])
            item.weight = max(self.policy.weight(served.scenario, action) for action in item.actions)

    def _positive(self, waiting: Waiting, out: list[Outcome]) -> None:
        event = waiting.event
        held = self._lists.find(event.request_id, event.user_id, waiting.clock)
        if held is not None and event.item_id in held.shown and event.scenario == held.served.scenario:
            self._label(waiting, held, held.shown[event.item_id], out)
        elif event.request_id is None or (held is not None and not _can_label(event, held)):
            self._attribute(waiting, out)
        else:
            self._wait(waiting, held)
            self._room.add_action(waiting)

    def _attribute(self, waiting: Waiting, out: list[Outcome]) -> None:
        """An action without a list of its own goes to the newest shown list that holds its item."""
        if self._room.may_yet_be_shown(waiting.event):
            self._wait(waiting)
            self._room.add_unattributed(waiting)
            return
        found = self._lists.shown_to(waiting.event)
        if found is None:
            self._organic(waiting, out)
        else:
            self._label(waiting, *found, out)

    def _wait(self, waiting: Waiting, held: HeldList | None = None) -> None:
        """Keep what an action needs should it turn out organic, until it is given up."""
        waiting.considered = waiting.considered or self._considered(waiting)
        newest = [self._lists.newest_before(waiting.event, waiting.clock, of_scenario=own) for own in (False, True)]
        for needed in (held, waiting.considered, *newest):
            if needed is not None:
                needed.keep(waiting.due)
        self._push(waiting.due, waiting)

    def _settle(self, actions: Iterable[Waiting], out: list[Outcome]) -> None:
        for waiting in actions:
            self._positive(waiting, out)

    def _label(self, waiting: Waiting, held: HeldList, item: ShownItem, out: list[Outcome]) -> None:
        event = waiting.event
        if event.occurred_at <= item.place.until:
            if item.label is None:
                self.open_impressions -= 1
                item.label = 1
                item.act(event.action, event.weight)
                out.append(Positive(held.served, item.place, event))
            elif item.label and event.weight > item.weight and event.action not in item.actions:
                item.act(event.action, event.weight)
                out.append(Upgrade(held.served, item.place, event))
        out.append(NextItemOutcome(event, held.served, item.place, held.served, self._superseded(waiting, held)))

    def _organic(self, waiting: Waiting, out: list[Outcome]) -> None:
        held = waiting.considered or self._considered(waiting)
        newest = held or self._lists.newest_before(waiting.event, waiting.clock)
        served = None if held is None else held.served
        superseded = held is not None and self._superseded(waiting, held)
        out.append(NextItemOutcome(waiting.event, served, None, None if newest is None else newest.served, superseded))

    def _considered(self, waiting: Waiting) -> HeldList | None:
        return self._lists.newest_before(waiting.event, waiting.clock, holding=waiting.event.item_id)

    def _superseded(self, waiting: Waiting, held: HeldList) -> bool:
        """Whether the user went on since: had a newer list of the scenario by the time, made for a history that had grown.

        Lists that are asked for together, the rows of a page, do not supersede each other.
        """
        newest = self._lists.newest_before(waiting.event, waiting.clock, of_scenario=True)
        if newest is None or newest.served.applied_offset <= held.served.applied_offset:
            return False
        return newest.served.history_encoded() != held.served.history_encoded()

    def _push(self, due: int, entry: Closing | Waiting) -> None:
        heapq.heappush(self._due, (due, next(self._sequence), entry))

    def _close(self, now: int, out: list[Outcome]) -> None:
        """Close the windows that ended before `now`, and give up what waited that long."""
        while self._due and self._due[0][0] < now:
            due, _, entry = heapq.heappop(self._due)
            written = due < self.replay_until
            if isinstance(entry, Closing):
                self._close_items(entry, [] if written else out)
            elif not entry.settled:
                self._room.leave(entry)
                self._give_up(entry, written, out)

    def _close_items(self, closing: Closing, out: list[Outcome]) -> None:
        items = [item for item in closing.items if item.label is None]
        for item in items:
            item.label = 0
        self.open_impressions -= len(items)
        if items:
            out.append(Negative(closing.held.served, [item.place for item in items]))

    def _give_up(self, waiting: Waiting, written: bool, out: list[Outcome]) -> None:
        event = waiting.event
        if event.is_impression:
            if not written:
                out.append(Refused(event.message, "unknown_request", event.request_id or ""))
            self._settle(self._room.actions_of(None, event.user_id), out)
        elif not written:
            self._organic(waiting, out)


def _can_label(event: JoinerEvent, held: HeldList) -> bool:
    """Whether an action fits the list that it names."""
    return event.scenario == held.served.scenario and event.item_id in held.impressions()
