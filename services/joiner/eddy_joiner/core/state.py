"""The join of one partition: events in, outcomes out. No Kafka, no wall clock.

The log of user events is the only order, and the only clock: its append times and its event times (eddy_joiner.core.timelines). Slates are
a table. The outcomes of an event depend on the log up to it and on the slates, not on when a slate was read, as long as it arrives within
the window.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeAlias

from eddy_joiner.core.erasures import UserErasure
from eddy_joiner.core.events import JoinerEvent
from eddy_joiner.core.join_batches import JoinBatch, JoinBatches
from eddy_joiner.core.outcomes import (
    Erased,
    Impression,
    ImpressionOutcome,
    Negative,
    NextItemOutcome,
    Outcome,
    Positive,
    Refused,
    Upgrade,
)
from eddy_joiner.core.pending_events import PendingEvent, PendingEvents
from eddy_joiner.core.policy import DAY_MS, AttributionPolicy
from eddy_joiner.core.retained_slates import ImpressionState, RetainedSlate, RetainedSlates
from eddy_joiner.core.slates import ServedSlate
from eddy_joiner.core.timelines import BROKER, EVENT, NEVER, TIMELINES, ReachedTimes, Timeline, Times, timeline_of
from eddy_joiner.core.written_examples import WrittenExamples


@dataclass(slots=True, eq=False)
class ImpressionGroup:
    """Impressions of a slate that opened together and whose windows close together."""

    retained: RetainedSlate
    states: list[ImpressionState]


Entry: TypeAlias = ImpressionGroup | PendingEvent | UserErasure


@dataclass
class JoinState:
    """The open impressions, retained slates and pending events of one partition.

    Feed slates with `add_slate`, events with `apply` and erasures with `erase` (after `begin_batch` for each batch of both), and wall time
    of an idle partition with `idle`; each returns the outcomes it leads to, in order. Every item of an `ImpressionOutcome` ends in exactly
    one `Positive` or `Negative`, or is counted in `open_impressions` or in an `Erased`. `slate_clocks` are the newest times of the slates.

    After a restart, pass the timelines, reached times and slate clocks of the restart point and the `written` examples; feed the former
    slates and events again, then call `finish_rebuild`. Outcomes due by the last commit have been written and are not returned; all that
    are returned have not been written.
    """

    policy: AttributionPolicy
    timelines: tuple[Timeline[Entry], ...] = field(default_factory=lambda: tuple(Timeline() for _ in TIMELINES))
    reached: ReachedTimes = field(default_factory=ReachedTimes)
    slate_clocks: list[int] = field(default_factory=lambda: [NEVER, NEVER])
    written: WrittenExamples = field(default_factory=WrittenExamples)
    open_impressions: int = 0
    _slates: RetainedSlates = field(default_factory=RetainedSlates)
    _batches: JoinBatches = field(default_factory=JoinBatches)
    _pending: PendingEvents = field(default_factory=PendingEvents)
    _erasures: dict[str, UserErasure] = field(default_factory=dict)

    @property
    def clocks(self) -> Times:
        """The newest append time of the log, and the newest event time that two users have reached."""
        return self.timelines[BROKER].clock, self.timelines[EVENT].clock

    @property
    def watermarks(self) -> Times:
        """The times that windows close at: the clocks of the log, advanced while the partition is idle."""
        return self.timelines[BROKER].watermark, self.timelines[EVENT].watermark

    @property
    def watermark(self) -> int:
        """The watermark in event time. In a log of a single user it begins at that one's newest time."""
        watermark = self.timelines[EVENT].watermark
        return self.reached.newest if watermark == NEVER else watermark

    @property
    def busy(self) -> bool:
        """Whether the passing of time can still lead to outcomes."""
        return len(self._slates) > 0 or next(self._scheduled(), None) is not None

    def oldest_batch(self) -> JoinBatch | None:
        """The first batch of events that a restart has to read."""
        return self._batches.oldest(self.clocks)

    def oldest_slate(self) -> RetainedSlate | None:
        """The first slate that a restart has to read."""
        return self._slates.oldest()

    def open_by_scenario(self) -> Iterator[str]:
        """The scenario of each open impression."""
        for entry in self._scheduled():
            if isinstance(entry, ImpressionGroup):
                yield from (entry.retained.slate.scenario for state in entry.states if state.label is None)

    def begin_batch(self, events_offset: int, output_offset: int) -> None:
        """Begin a batch of events at `events_offset`, with the worker's own output at `output_offset`."""
        self._batches.begin(JoinBatch(events_offset, output_offset, self.clocks, self.reached))

    def add_slate(self, slate: ServedSlate) -> list[Outcome]:
        """Add a slate and resolve the events that wait for it."""
        timeline = timeline_of(slate.requested_at, slate.appended_at)
        time = slate.appended_at if timeline == BROKER else slate.requested_at
        self.slate_clocks[timeline] = max(self.slate_clocks[timeline], time)
        erasure = self._erasures.get(slate.user_id)
        if erasure is not None and erasure.covers(slate):
            return []
        admit_until = self.slate_clocks[timeline] + self.policy.admission_ms(slate.scenario)
        retained = RetainedSlate(slate, timeline, time, self.slate_clocks[EVENT], admit_until, admit_until)
        outcomes: list[Outcome] = []
        if self._slates.add(retained) is not None:
            return outcomes
        impressions = self._pending.take_impressions(retained)
        for pending in impressions:
            self._open_impressions(pending, retained, outcomes)
        if impressions:
            self._resolve(self._pending.take_interactions(slate.request_id, slate.user_id), outcomes)
        else:
            self._resolve(self._pending.take_interactions_with(slate.request_id, slate.user_id), outcomes)
        self._pass_deadlines(timeline, outcomes)
        return outcomes

    def apply(self, event: JoinerEvent) -> list[Outcome]:
        """Apply the next event of the log. Until another user reaches its time too, that time counts for the event alone."""
        outcomes: list[Outcome] = []
        appended_at, happened_at = event.clocks
        passed_ms = appended_at - self.clocks[BROKER]
        self.reached = self.reached.after(event.user_digest, happened_at)
        if event.timeline == BROKER and self.reached.others != NEVER:
            self.reached = self.reached.confirmed(happened_at, passed_ms)
        for timeline, reached in enumerate((appended_at, self.reached.others)):
            if self.timelines[timeline].advance(reached):
                self._pass_deadlines(timeline, outcomes)
                if not self._is_rebuilding:
                    self._slates.drop_expired(timeline, self.timelines[timeline].clock)
        if event.weight <= 0 and not event.is_impression:
            return outcomes
        clocks = (self.clocks[BROKER], max(self.clocks[EVENT], happened_at))
        pending = PendingEvent(event, clocks, self.policy.window_ms(event.scenario), self._batches.current)
        timelines = self._timelines_of(pending)
        first_batch = self._batches.register((event.user_id, event.event_id), event.offset)
        for timeline in timelines:
            (first_batch or pending.batch).keep(timeline, pending.due(timeline))
        if first_batch is not None:
            return outcomes
        if event.is_impression:
            self._apply_impression(pending, outcomes)
        elif not self._is_written(pending, timelines):
            self._apply_interaction(pending, outcomes)
        return outcomes

    def erase(self, erasure: UserErasure) -> list[Outcome]:
        """Forget a user: the events before the erasure, and the slates that were made from them, also those that arrive later."""
        covered = self._slates.forget(erasure)
        self._pending.forget(erasure.user_id)
        self._batches.forget(erasure.user_id, erasure.offset)
        self._erasures[erasure.user_id] = erasure
        # A restart that reads the slates again has to read the erasure as well.
        batch = self._batches.current
        for timeline in TIMELINES:
            batch.keep(timeline, self._erasure_ends(timeline))
        for retained in covered:
            batch.keep(retained.timeline, retained.keep_until)
        self.timelines[BROKER].schedule(self._erasure_ends(BROKER), erasure)
        erased: Counter[str] = Counter()
        for retained in covered:
            for state in retained.impressions.values():
                if state.label is None:
                    state.label = 0
                    erased[retained.slate.scenario] += 1
        self.open_impressions -= erased.total()
        return [Erased(erasure.user_id, erased)]

    def idle(self, until: int) -> list[Outcome]:
        """Advance the watermark of a partition without unread events to `until` (ms of event time), and broker time by as much.

        Slates without any event are dropped a day after their window by the slates' own clock: events may lag, but not for ever.
        """
        outcomes: list[Outcome] = []
        elapsed_ms = until - self.watermark
        for timeline, watermark in enumerate((self.timelines[BROKER].watermark, self.watermark)):
            if elapsed_ms > 0 and watermark != NEVER:
                self.timelines[timeline].idle(watermark + elapsed_ms)
                self._pass_deadlines(timeline, outcomes)
            self._slates.drop_expired(timeline, self.timelines[timeline].clock, self.slate_clocks[timeline] - DAY_MS)
        return outcomes

    def finish_rebuild(self, watermarks: Times) -> list[Outcome]:
        """End a rebuild at the committed watermarks; drop the written examples and expired slates."""
        outcomes: list[Outcome] = []
        for timeline in TIMELINES:
            self.timelines[timeline].idle(watermarks[timeline])
            self._pass_deadlines(timeline, outcomes)
        self.written = WrittenExamples()
        for timeline in TIMELINES:
            self.timelines[timeline].rebuild_until = NEVER
            self._slates.drop_expired(timeline, self.timelines[timeline].clock)
        return outcomes

    def _timelines_of(self, pending: PendingEvent) -> set[int]:
        """The timelines that an event may wait on: its own, and that of the slate that it names."""
        event = pending.event
        retained = self._slates.find(event.request_id, event.user_id, pending.clocks)
        return {event.timeline} if retained is None else {event.timeline, retained.timeline}

    def _is_written(self, pending: PendingEvent, timelines: set[int]) -> bool:
        """Whether the example of an interaction was written before a restart. An event that was due by then may be the duplicate of one
        that is not read again."""
        event = pending.event
        return (event.user_id, event.event_id) in self.written.events or all(
            pending.due(timeline) < self.timelines[timeline].rebuild_until for timeline in timelines
        )

    @property
    def _is_rebuilding(self) -> bool:
        return any(timeline.rebuild_until != NEVER for timeline in self.timelines)

    def _erasure_ends(self, timeline: int) -> int:
        """The time until which slates of the former user may arrive after an erasure."""
        clock = self.timelines[timeline].clock
        return clock if clock == NEVER else clock + self.policy.longest_admission_ms

    def _scheduled(self) -> Iterator[Entry]:
        return chain.from_iterable(timeline.scheduled() for timeline in self.timelines)

    def _apply_impression(self, pending: PendingEvent, outcomes: list[Outcome]) -> None:
        event = pending.event
        retained = self._slates.find(event.request_id, event.user_id, pending.clocks)
        if retained is None or not retained.admits(pending.clocks):
            self._pending.add_impression(pending)
            self.timelines[event.timeline].schedule(pending.due(event.timeline), pending)
        elif self._open_impressions(pending, retained, outcomes):
            self._resolve(self._pending.take_interactions_with(retained.slate.request_id, event.user_id), outcomes)

    def _open_impressions(self, pending: PendingEvent, retained: RetainedSlate, outcomes: list[Outcome]) -> bool:
        """Open the impressions of items that have not been shown before; return whether there are any.

        Later events on the slate depend on the batch of its first impression, so that batch is kept as long as the slate.
        """
        # The window is that of the slate's scenario, whatever the impression event says.
        timeline, window_ms = retained.timeline, self.policy.window_ms(retained.slate.scenario)
        due = pending.clocks[timeline] + window_ms
        retained.keep(due)
        pending.batch.keep(timeline, max(due, retained.admit_until))
        if retained.batch is None:
            retained.batch = pending.batch
        retained.batch.keep(timeline, due)
        at = pending.times[timeline]
        states = self._new_impressions(pending.event, retained, at, at + window_ms)
        still_open = [state for state in states if state.label is None]
        if states:
            after_ms = pending.event.message.timestamp_ms - retained.slate.served_at
            items = [state.impression.item for state in states]
            outcomes.append(ImpressionOutcome(retained.slate.scenario, items, after_ms))
        if still_open:
            self.open_impressions += len(still_open)
            self.timelines[timeline].schedule(due, ImpressionGroup(retained, still_open))
        return bool(states)

    def _new_impressions(
        self, event: JoinerEvent, retained: RetainedSlate, at: int, until: int
    ) -> list[ImpressionState]:
        items = retained.items()
        states = []
        for item_id in items if event.item_id is None else (event.item_id,):
            if item_id in retained.impressions or item_id not in items:
                continue
            impression = Impression(items[item_id], event.occurred_at, until)
            state = ImpressionState(impression, at, event.offset)
            retained.impressions[item_id] = state
            if self.written.labels:
                self._restore_label(retained.slate, item_id, state)
            states.append(state)
        return states

    def _restore_label(self, slate: ServedSlate, item_id: str, state: ImpressionState) -> None:
        """Give an impression the label that has been written for it, if any."""
        key = (slate.request_id, item_id)
        state.label = self.written.labels.get(key)
        if state.label:
            state.actions = frozenset(self.written.actions[key])
            state.weight = max(self.policy.weight(slate.scenario, action) for action in state.actions)

    def _apply_interaction(self, pending: PendingEvent, outcomes: list[Outcome]) -> None:
        event = pending.event
        retained = self._slates.find(event.request_id, event.user_id, pending.clocks)
        if retained is not None and event.item_id in retained.impressions and event.scenario == retained.slate.scenario:
            self._label(pending, retained, retained.impressions[event.item_id], outcomes)
        elif event.request_id is None or (retained is not None and not _matches(event, retained)):
            self._attribute(pending, outcomes)
        else:
            self._defer(pending, retained)
            self._pending.add_interaction(pending)

    def _attribute(self, pending: PendingEvent, outcomes: list[Outcome]) -> None:
        """Attribute an interaction that does not name its slate to the last impression of its item."""
        if self._pending.has_earlier_impression(pending.event):
            self._defer(pending)
            self._pending.add_unattributed(pending)
            return
        last = self._slates.last_impression(pending.event, pending.times)
        if last is None:
            self._leave_unattributed(pending, outcomes)
        else:
            self._label(pending, *last, outcomes)

    def _defer(self, pending: PendingEvent, retained: RetainedSlate | None = None) -> None:
        """Let an interaction wait until it is due, and keep the slates it needs if it remains unattributed.

        It waits on the timeline of the slate that it names.
        """
        pending.candidate_slate = pending.candidate_slate or self._candidate_slate(pending)
        newest = [self._newest_before(pending, same_scenario=same_scenario) for same_scenario in (False, True)]
        for needed in (retained, pending.candidate_slate, *newest):
            if needed is not None:
                needed.keep(pending.due(needed.timeline))
        timeline = pending.event.timeline if retained is None else retained.timeline
        self.timelines[timeline].schedule(pending.due(timeline), pending)

    def _resolve(self, interactions: Iterable[PendingEvent], outcomes: list[Outcome]) -> None:
        for pending in interactions:
            self._apply_interaction(pending, outcomes)

    def _label(
        self, pending: PendingEvent, retained: RetainedSlate, state: ImpressionState, outcomes: list[Outcome]
    ) -> None:
        event, slate = pending.event, retained.slate
        if pending.times[retained.timeline] <= state.impression.until:
            if state.label is None:
                self.open_impressions -= 1
                state.label = 1
                state.add_action(event.action, event.weight)
                outcomes.append(Positive(slate, state.impression, event))
            elif state.label and event.weight > state.weight and event.action not in state.actions:
                state.add_action(event.action, event.weight)
                outcomes.append(Upgrade(slate, state.impression, event))
        superseded = self._is_superseded(pending, retained)
        outcomes.append(NextItemOutcome(event, slate, state.impression, slate, superseded))

    def _leave_unattributed(self, pending: PendingEvent, outcomes: list[Outcome]) -> None:
        retained = pending.candidate_slate
        if retained is None or retained.dropped:
            retained = self._candidate_slate(pending)
        newest = retained or self._newest_before(pending)
        slate = None if retained is None else retained.slate
        history_slate = None if newest is None else newest.slate
        superseded = retained is not None and self._is_superseded(pending, retained)
        outcomes.append(NextItemOutcome(pending.event, slate, None, history_slate, superseded))

    def _candidate_slate(self, pending: PendingEvent) -> RetainedSlate | None:
        """The newest slate before the event that has the event's item among its candidates."""
        return self._newest_before(pending, including=pending.event.item_id)

    def _newest_before(
        self, pending: PendingEvent, including: str | None = None, same_scenario: bool = False
    ) -> RetainedSlate | None:
        return self._slates.newest_before(pending.event, pending.times, pending.clocks, including, same_scenario)

    def _is_superseded(self, pending: PendingEvent, retained: RetainedSlate) -> bool:
        """Whether at the time of the event the user had a newer slate of the scenario, made for a longer history.

        Slates requested together, such as the rows of a page, do not supersede each other.
        """
        newest = self._newest_before(pending, same_scenario=True)
        if newest is None or newest.slate.applied_offset <= retained.slate.applied_offset:
            return False
        return newest.slate.encoded_history() != retained.slate.encoded_history()

    def _pass_deadlines(self, timeline: int, outcomes: list[Outcome]) -> None:
        """Close the windows that ended before the watermark, and expire the pending events that were due before it."""
        clock = self.timelines[timeline]
        for due, entry in clock.overdue(clock.watermark):
            is_written = due < clock.rebuild_until
            if isinstance(entry, ImpressionGroup):
                self._close(entry, [] if is_written else outcomes)
            elif isinstance(entry, UserErasure):
                if self._erasures.get(entry.user_id) is entry:
                    del self._erasures[entry.user_id]
            elif not entry.resolved:
                self._pending.remove(entry)
                self._expire(entry, is_written, outcomes)

    def _close(self, group: ImpressionGroup, outcomes: list[Outcome]) -> None:
        still_open = [state for state in group.states if state.label is None]
        for state in still_open:
            state.label = 0
        self.open_impressions -= len(still_open)
        if still_open:
            outcomes.append(Negative(group.retained.slate, [state.impression for state in still_open]))

    def _expire(self, pending: PendingEvent, is_written: bool, outcomes: list[Outcome]) -> None:
        event = pending.event
        if event.is_impression:
            if not is_written:
                outcomes.append(Refused(event.message, "unknown_request", event.request_id or ""))
            self._resolve(self._pending.take_interactions(None, event.user_id), outcomes)
        else:  # not among the written examples
            self._leave_unattributed(pending, outcomes)


def _matches(event: JoinerEvent, retained: RetainedSlate) -> bool:
    """Whether an interaction fits the slate that it names."""
    return event.scenario == retained.slate.scenario and event.item_id in retained.items()
