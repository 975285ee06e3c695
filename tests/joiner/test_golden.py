"""A golden log: these slates and events give exactly these examples."""

from collections.abc import Sequence

import numpy as np
import pytest

from eddy import metrics
from eddy.clock import ManualClock
from eddy.contract.codec import Record
from eddy.contract.limits import MAX_CLOCK_LEAD_MS
from eddy.contract.message import Message
from eddy.contract.model import FEATURES
from eddy_joiner.core.events import JoinerEvent
from eddy_joiner.core.examples import encode_example
from eddy_joiner.core.outcomes import ImpressionOutcome, Outcome, Refused
from eddy_joiner.core.policy import AttributionPolicy
from eddy_joiner.core.slates import ServedSlate
from eddy_joiner.core.state import JoinState
from eddy_joiner.core.timelines import EVENT, NEVER
from eddy_joiner.shell.impression_ledger import ImpressionLedger
from eddy_joiner.shell.intake import SkippedEvent, accept_event, accept_slate
from tests.joiner.factories import SEC, T0, event_record, message_of, slate_record
from tests.joiner.simulation import EXAMPLES, POLICY

MIN = 60 * SEC


class Join:
    """A state and its log. Each step returns the examples that it leads to, by id. Records arrive when they happen, or at `at`."""

    def __init__(self, policy: AttributionPolicy = POLICY) -> None:
        self.state = JoinState(policy)
        self.policy = policy
        self.offset = -1
        self.state.begin_batch(0, 0)
        self.refused: list[Refused] = []
        self.impressions = 0

    def take(self, *records: Record, at: int | None = None) -> dict[str, Record]:
        outcomes: list[Outcome] = []
        for record in records:
            if "served_at" in record:
                slate = accept_slate(message_of(record, appended_at=at), self.policy)
                assert isinstance(slate, ServedSlate)
                outcomes += self.state.add_slate(slate)
                continue
            self.offset += 1
            event = accept_event(message_of(record, self.offset, at), self.policy)
            assert isinstance(event, JoinerEvent)
            outcomes += self.state.apply(event)
        return self.examples(outcomes)

    def idle(self, until: int) -> dict[str, Record]:
        return self.examples(self.state.idle(until))

    def examples(self, outcomes: Sequence[Outcome]) -> dict[str, Record]:
        examples: dict[str, Record] = {}
        for outcome in outcomes:
            if isinstance(outcome, Refused):
                self.refused.append(outcome)
            elif isinstance(outcome, ImpressionOutcome):
                self.impressions += len(outcome.items)
            else:
                record = EXAMPLES.decode(encode_example(outcome, 5))
                assert record["example_id"] not in examples
                examples[record["example_id"]] = record
        return examples


def tick(at: int, user: str = "other") -> Record:
    """An event that only advances the clock."""
    return event_record(f"tick-{at}", user, "search", at)


def impression(request: str, at: int, item: str | None = None, user: str = "u") -> Record:
    return event_record(f"imp-{request}-{item}", user, "impression", at, item, request_id=request)


def test_golden_log() -> None:
    join = Join()
    slate = slate_record("r1", "u", ["a", "b", "c"], T0, considered=["a", "b", "c", "d"])
    assert join.take(slate, impression("r1", T0 + SEC)) == {}
    assert (join.impressions, join.state.open_impressions) == (3, 3)

    examples = join.take(event_record("c1", "u", "click", T0 + MIN, "b", request_id="r1", value=5.0))
    assert examples.keys() == {"r1/b/label", "c1/next"}
    label = examples["r1/b/label"]
    assert (label["kind"], label["request_id"], label["event_id"], label["scenario"]) == ("label", "r1", "c1", "video")
    assert label["items"] == [
        {"item_id": "b", "position": 1, "propensity": 0.5, "label": 1, "action": "click", "value": 1.0}
    ]
    rows = np.frombuffer(slate["features"], "<f2").reshape(4, len(FEATURES))
    assert label["features"] == rows[1].tobytes()
    assert (label["considered"], label["considered_features"]) == ([], b"")
    assert label["history"] == slate["history"]
    assert (label["occurred_at"], label["shown_at"], label["labelled_at"]) == (T0 + MIN, T0 + SEC, 5)
    assert (label["model_version"], label["contract"]) == (7, slate["contract"])

    following = examples["c1/next"]
    assert (following["kind"], following["request_id"]) == ("next_item", "r1")
    assert following["items"] == label["items"]
    assert following["considered"] == ["a", "b", "c", "d"]
    assert following["considered_features"] == slate["features"]
    assert following["history"] == slate["history"]

    # A stronger action, a weaker one, then the strongest again: one upgrade.
    examples = join.take(
        event_record("s1", "u", "share", T0 + 2 * MIN, "b", request_id="r1"),
        event_record("l1", "u", "like", T0 + 3 * MIN, "b", request_id="r1"),
        event_record("s2", "u", "share", T0 + 3 * MIN, "b", request_id="r1"),
    )
    assert examples.keys() == {"r1/b/share/upgrade", "s1/next", "l1/next", "s2/next"}
    assert examples["r1/b/share/upgrade"]["items"][0]["action"] == "share"

    # The window ends 1800 s after the impression, and closes when the log has passed its end.
    assert join.take(tick(T0 + SEC + 30 * MIN)) == {}
    examples = join.take(tick(T0 + SEC + 30 * MIN + 1))
    assert examples.keys() == {"r1/negatives/0"}
    negatives = examples["r1/negatives/0"]
    assert [(item["item_id"], item["label"], item["action"]) for item in negatives["items"]] == [
        ("a", 0, ""),
        ("c", 0, ""),
    ]
    assert negatives["features"] == rows[0].tobytes() + rows[2].tobytes()
    assert (negatives["event_id"], negatives["occurred_at"]) == (None, T0 + SEC + 30 * MIN)
    assert join.state.open_impressions == 0

    # Too late for a label, but still a next-item example.
    examples = join.take(event_record("c9", "u", "click", T0 + 31 * MIN, "a", request_id="r1"), tick(T0 + 62 * MIN))
    assert examples.keys() == {"c9/next"}


def test_duplicates_change_nothing() -> None:
    join = Join()
    click = event_record("c1", "u", "click", T0 + 2, "a", request_id="r1")
    join.take(slate_record("r1", "u", ["a", "b"], T0), impression("r1", T0 + 1))
    assert join.take(click).keys() == {"r1/a/label", "c1/next"}
    assert join.take(click, impression("r1", T0 + 1), {**impression("r1", T0 + 5), "event_id": "again"}) == {}
    assert (
        join.take(slate_record("r1", "u", ["a", "b", "c"], T0 + 7), {**impression("r1", T0 + 8), "event_id": "3"}) == {}
    )
    assert (join.impressions, join.state.open_impressions) == (2, 1)


def test_impression_of_an_item_shows_that_item() -> None:
    join = Join()
    join.take(slate_record("r1", "u", ["a", "b", "c"], T0), impression("r1", T0 + 1, "b"))
    assert join.impressions == 1
    join.take(impression("r1", T0 + MIN), impression("r1", T0 + MIN, "not in the list"))
    assert join.impressions == 3
    examples = join.take(tick(T0 + 2 + 30 * MIN))
    assert [item["item_id"] for item in examples["r1/negatives/1"]["items"]] == ["b"]
    examples = join.take(tick(T0 + 2 + 31 * MIN))
    assert [item["item_id"] for item in examples["r1/negatives/0"]["items"]] == ["a", "c"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (2, 1, 0), (1, 2, 0), (0, 2, 1), (1, 0, 2)])
def test_order_of_arrival_does_not_matter(order: tuple[int, ...]) -> None:
    records = [
        slate_record("r1", "u", ["a", "b"], T0),
        impression("r1", T0 + 1),
        event_record("c1", "u", "click", T0 + 2, "a", request_id="r1"),
    ]
    join = Join()
    examples = join.take(*[records[index] for index in order])
    assert examples.keys() == {"r1/a/label", "c1/next"}
    assert join.take(tick(T0 + 3 + 30 * MIN)).keys() == {"r1/negatives/1"}


def test_interaction_without_request_is_attributed_to_the_newest_shown_slate_with_the_item() -> None:
    join = Join()
    join.take(
        slate_record("r1", "u", ["a", "b"], T0),
        slate_record("r2", "u", ["a", "c"], T0 + 1),
        slate_record("r3", "u", ["a"], T0 + 2),
        slate_record("r4", "u", ["a"], T0 + 2, scenario="shop"),
        slate_record("r5", "somebody else", ["a"], T0 + 2),
        impression("r1", T0 + 10),
        impression("r2", T0 + 11),
        event_record("i4", "u", "impression", T0 + 12, request_id="r4", scenario="shop"),
        impression("r5", T0 + 13, user="somebody else"),
    )
    assert join.take(event_record("c1", "u", "click", T0 + MIN, "a")).keys() == {"r2/a/label", "c1/next"}
    assert join.take(event_record("c2", "u", "click", T0 + MIN, "b")).keys() == {"r1/b/label", "c2/next"}
    assert join.take(event_record("c3", "u", "click", T0 + MIN, "a")).keys() == {"c3/next"}


def test_interaction_without_request_waits_for_an_impression_whose_slate_is_late() -> None:
    join = Join()
    assert join.take(impression("r1", T0 + 10), event_record("c1", "u", "click", T0 + 20, "a")) == {}
    assert join.take(slate_record("r1", "u", ["a"], T0)).keys() == {"r1/a/label", "c1/next"}


def test_unattributed_interaction_takes_the_newest_slate_with_the_item_among_its_candidates() -> None:
    join = Join()
    older = slate_record("r1", "u", ["a"], T0, considered=["a", "x"], past=["old"])
    newer = slate_record("r2", "u", ["b"], T0 + 1, considered=["b"], past=["new"])
    after = slate_record("r3", "u", ["x"], T0 + MIN, past=["later"])
    with_event = slate_record("r4", "u", ["x"], T0 + 2, past=["knows"], applied_offset=0)
    examples = join.take(older, newer, after, with_event, event_record("o1", "u", "rate", T0 + SEC, "x", value=2.0))
    example = examples["o1/next"]
    assert example["items"] == [
        {"item_id": "x", "position": -1, "propensity": 0.0, "label": 1, "action": "rate", "value": 0.25}
    ]
    assert (example["request_id"], example["considered"], example["history"]) == (None, ["a", "x"], older["history"])
    assert (example["shown_at"], example["model_version"], example["contract"]) == (None, 7, older["contract"])

    without = join.take(event_record("o2", "u", "rate", T0 + SEC, "y"))["o2/next"]
    assert (without["considered"], without["features"], without["contract"]) == ([], b"", "")
    assert without["history"] == with_event["history"]
    assert join.take(event_record("o3", "nobody", "rate", T0 + SEC, "y"))["o3/next"]["history"] is None


def test_a_slate_is_superseded_by_one_requested_after_further_interactions() -> None:
    join = Join()
    first = slate_record("r1", "u", ["a", "b"], T0, past=["p"])
    same_page = slate_record("r2", "u", ["c"], T0, past=["p"])
    join.take(first, same_page, impression("r1", T0 + 2), impression("r2", T0 + 3))
    assert not join.take(event_record("c1", "u", "click", T0 + SEC, "a"))["c1/next"]["superseded"]

    after_click = {"past": ["p", "a"], "applied_offset": join.offset}
    other_scenario = slate_record("r3", "u", ["z"], T0 + 2 * SEC, scenario="shop", **after_click)
    other_user = slate_record("r4", "somebody else", ["z"], T0 + 2 * SEC, **after_click)
    later = slate_record("r5", "u", ["z"], T0 + MIN, **after_click)
    older_history = slate_record("r6", "u", ["z"], T0 + 2 * SEC, past=[])
    same_history = slate_record("r7", "u", ["z"], T0, past=["p"], applied_offset=join.offset)
    join.take(other_scenario, other_user, later, older_history, same_history)
    assert not join.take(event_record("c2", "u", "click", T0 + 3 * SEC, "c"))["c2/next"]["superseded"]

    join.take(slate_record("r8", "u", ["y"], T0 + 4 * SEC, past=["p", "a", "c"], applied_offset=join.offset))
    late = join.take(event_record("c3", "u", "click", T0 + 5 * SEC, "b", request_id="r1"))
    assert not late["r1/b/label"]["superseded"]
    assert late["c3/next"]["superseded"]
    unattributed = join.take(event_record("o1", "u", "rate", T0 + 6 * SEC, "y"))["o1/next"]
    assert (unattributed["considered"], unattributed["superseded"]) == (["y"], False)


def test_interaction_with_a_slate_never_shown_is_unattributed_after_its_window() -> None:
    join = Join()
    slate = slate_record("r1", "u", ["a"], T0)
    assert join.take(slate, event_record("c1", "u", "click", T0 + 1, "a", request_id="r1")) == {}
    example = join.take(tick(T0 + 2 + 30 * MIN))["c1/next"]
    assert (example["request_id"], example["items"][0]["position"]) == (None, -1)
    assert example["considered"] == ["a"]
    assert join.impressions == 0


def test_impression_of_an_unknown_request_is_refused_after_its_window() -> None:
    join = Join()
    join.take(impression("nowhere", T0), impression("r1", T0, user="thief"), slate_record("r1", "u", ["a"], T0))
    assert join.refused == []
    join.take(tick(T0 + 1 + 30 * MIN))
    assert [(refused.reason, refused.message.offset) for refused in join.refused] == [
        ("unknown_request", 0),
        ("unknown_request", 1),
    ]
    assert join.impressions == 0


def test_negative_actions_label_nothing() -> None:
    join = Join()
    join.take(slate_record("r1", "u", ["a"], T0), impression("r1", T0 + 1))
    assert join.take(event_record("s", "u", "skip", T0 + 2, "a", request_id="r1")) == {}
    assert join.state.open_impressions == 1


@pytest.mark.parametrize(("action", "value"), [("purchase", -50.0), ("click", -1.0), ("rate", 1.0), ("rate", 2.4)])
def test_refunds_and_rejections_label_nothing(action: str, value: float) -> None:
    join = Join()
    slate = slate_record("r1", "u", ["a", "b"], T0, scenario="shop")
    shown = event_record("i1", "u", "impression", T0 + 1, request_id="r1", scenario="shop")
    undone = event_record("p1", "u", action, T0 + 2, "a", request_id="r1", scenario="shop", value=value)
    assert join.take(slate, shown, undone) == {}
    examples = join.take(tick(T0 + 61 * MIN + 2))
    assert [item["label"] for item in examples["r1/negatives/0"]["items"]] == [0, 0]


def test_late_impression_has_its_whole_window() -> None:
    join = Join()
    join.take(slate_record("r1", "u", ["a"], T0 + 40 * MIN), tick(T0 + 40 * MIN))
    join.take(impression("r1", T0 + 5 * MIN))
    assert join.state.open_impressions == 1
    assert join.take(event_record("c1", "u", "click", T0 + 6 * MIN, "a", request_id="r1")).keys() == {
        "r1/a/label",
        "c1/next",
    }


def test_an_interaction_after_the_window_labels_nothing_although_the_impression_is_still_open() -> None:
    join = Join()
    join.take(slate_record("r1", "u", ["a"], T0), tick(T0 + 20 * MIN), impression("r1", T0))
    examples = join.take(event_record("c1", "u", "click", T0 + 30 * MIN + 1, "a", request_id="r1"))
    assert examples.keys() == {"c1/next"}
    assert join.state.open_impressions == 1
    assert join.take(tick(T0 + 50 * MIN)) == {}
    assert join.take(tick(T0 + 50 * MIN + 1)).keys() == {"r1/negatives/0"}


@pytest.mark.parametrize(("lateness_sec", "impressions"), [(0, 0), (7200, 1)])
def test_lateness_admits_impressions_when_other_users_are_ahead(lateness_sec: float, impressions: int) -> None:
    join = Join(AttributionPolicy(POLICY.scenarios, lateness_sec))
    join.take(slate_record("r1", "u", ["a"], T0), tick(T0 + 120 * MIN), impression("r1", T0 + MIN))
    assert join.state.open_impressions == impressions
    examples = join.take(event_record("c1", "u", "click", T0 + 2 * MIN, "a", request_id="r1"))
    assert ("r1/a/label" in examples) == bool(impressions)


def test_idle_partition_closes_windows_at_wall_speed() -> None:
    join = Join()
    join.take(slate_record("r1", "u", ["a"], T0), impression("r1", T0))
    assert join.idle(T0 + 30 * MIN) == {}
    assert join.idle(T0 + 30 * MIN + 1).keys() == {"r1/negatives/0"}
    assert join.state.watermark == T0 + 30 * MIN + 1
    # Events continue at their own time: the next slate has its whole window, however long the pause was.
    join.take(slate_record("r2", "u", ["a"], T0 + 2), impression("r2", T0 + 3))
    assert join.state.open_impressions == 1
    assert join.take(event_record("c2", "u", "click", T0 + 4, "a", request_id="r2")).keys() == {"r2/a/label", "c2/next"}


def test_unusable_slates_are_refused_with_their_reason() -> None:
    good = message_of(slate_record("r1", "u", ["a"], T0))
    short = slate_record("r1", "u", ["a"], T0)
    cases = {
        "undecodable": Message(good.topic, 0, 0, good.key, b"\x00garbage", T0),
        "bad_features": message_of({**short, "features": short["features"][:-2]}),
        "wrong_key": Message(good.topic, 0, 0, b"v", good.value, T0),
        "unknown_scenario": message_of(slate_record("r1", "u", ["a"], T0, scenario="nowhere")),
        "timestamp_ahead": message_of(slate_record("r1", "u", ["a"], T0 + 25 * 60 * MIN), appended_at=T0),
    }
    for reason, message in cases.items():
        refused = accept_slate(message, POLICY)
        assert isinstance(refused, Refused)
        assert refused.reason == reason


def test_a_refused_request_has_no_slate() -> None:
    refusal = {"reason": "unknown_scenario", "field": "scenario", "detail": "unknown scenario 'nowhere'."}
    refused = message_of(slate_record("r1", "u", [], T0, scenario="nowhere", refusal=refusal))
    assert accept_slate(refused, POLICY) is None
    assert isinstance(accept_slate(message_of(slate_record("r1", "u", [], T0, scenario="nowhere")), POLICY), Refused)


def test_unusable_events_are_skipped_but_one_far_ahead_is_refused() -> None:
    def accept(record: Record, **message: object) -> object:
        original = message_of(record, appended_at=T0)
        return accept_event(
            Message(**{**{name: getattr(original, name) for name in original.__slots__}, **message}), POLICY
        )

    good = event_record("e", "u", "click", T0, "a")
    assert isinstance(accept(good), JoinerEvent)
    ahead = accept({**good, "occurred_at": T0 + 24 * 60 * MIN + 1})
    assert isinstance(ahead, Refused)
    assert ahead.reason == "timestamp_ahead"
    for bad in (
        {**good, "scenario": "nowhere"},
        {**good, "action": "dance"},
        {**good, "item_id": None},
        {**good, "value": float("nan")},
        {**good, "item_id": "x" * 300},
    ):
        assert isinstance(accept(bad), SkippedEvent)
    assert isinstance(accept(good, key=b"v"), SkippedEvent)
    assert isinstance(accept(good, value=b"noise"), SkippedEvent)


def test_slates_far_ahead_of_lagging_events_are_kept() -> None:
    join = Join()
    join.take(tick(T0), slate_record("r1", "u", ["a"], T0 + 1), slate_record("r2", "v", ["b"], T0 + 12 * 60 * MIN))
    join.idle(T0 + SEC)
    join.take(impression("r1", T0 + 2))
    assert join.state.open_impressions == 1
    # A slate without any event is dropped a day after its window by the slates' own clock; one with impressions is kept.
    join.take(slate_record("r3", "v", ["c"], T0 + 60 * 60 * MIN))
    join.idle(T0 + 2 * SEC)
    join.take(impression("r2", T0 + 3, user="v"))
    assert join.state.open_impressions == 1
    examples = join.take(event_record("c1", "u", "click", T0 + 4, "a", request_id="r1"))
    assert examples.keys() == {"r1/a/label", "c1/next"}


def test_a_device_whose_clock_is_ahead_closes_no_window() -> None:
    join = Join()
    join.take(slate_record("r1", "u", ["a"], T0), impression("r1", T0))
    ahead = accept_event(message_of(tick(T0 + 23 * 60 * MIN, "v"), 1, appended_at=T0 + SEC), POLICY)
    assert isinstance(ahead, JoinerEvent)
    assert join.examples(join.state.apply(ahead)) == {}
    assert join.state.clocks[EVENT] == T0 + SEC
    assert join.take(event_record("c1", "u", "click", T0 + 2 * MIN, "a", request_id="r1")).keys() == {
        "r1/a/label",
        "c1/next",
    }
    slate = accept_slate(message_of(slate_record("r2", "v", ["b"], T0 + 23 * 60 * MIN), appended_at=T0 + SEC), POLICY)
    assert isinstance(slate, ServedSlate)
    assert slate.requested_at == T0 + SEC + MAX_CLOCK_LEAD_MS


def test_ids_of_different_users_do_not_clash() -> None:
    """As those of clients that count from 1 do."""
    join = Join()
    users = [f"u{number}" for number in range(8)]
    for user in users:
        shown = event_record("1", user, "impression", T0 + 1, request_id=f"r-{user}")
        clicked = event_record("2", user, "click", T0 + 2, "b", request_id=f"r-{user}")
        slate = slate_record(f"r-{user}", user, ["a", "b"], T0)
        assert join.take(slate, shown, clicked, clicked).keys() == {f"r-{user}/b/label", "2/next"}
    assert join.impressions == 16


def test_events_without_an_id_are_distinct() -> None:
    join = Join()
    join.take(slate_record("r1", "u", ["a"], T0), slate_record("r2", "v", ["b"], T0))
    for user, request, item in (("u", "r1", "a"), ("v", "r2", "b")):
        join.take({**impression(request, T0 + 1, user=user), "event_id": ""})
        examples = join.take(event_record("", user, "click", T0 + 2, item, request_id=request))
        assert f"{request}/{item}/label" in examples
        assert len(examples) == 2
    assert join.state.open_impressions == 0


def test_the_window_is_that_of_the_slates_scenario_whatever_the_impression_says() -> None:
    join = Join()
    join.take(slate_record("r1", "u", ["a"], T0), {**impression("r1", T0), "scenario": "social"})
    join.take(tick(T0 + 20 * MIN))
    assert join.state.open_impressions == 1
    assert "r1/a/label" in join.take(event_record("c1", "u", "click", T0 + 21 * MIN, "a", request_id="r1"))


def test_slates_are_dropped_where_no_event_ever_arrives() -> None:
    join = Join()
    join.take(slate_record("r1", "u", ["a"], T0))
    join.take(slate_record("r2", "u", ["a"], T0 + 48 * 60 * MIN))
    assert join.state.busy
    assert join.idle(T0) == {}
    assert len(join.state._slates) == 1
    assert join.state.watermark == NEVER


def test_the_ledger_of_each_process_balances_while_a_partition_moves_away_and_back() -> None:
    def unaccounted() -> float:
        impressions, labels = (_total(metric) for metric in (metrics.IMPRESSIONS, metrics.LABELS))
        return impressions - labels - _total(metrics.OPEN_IMPRESSIONS) - _total(metrics.HANDED_OVER)

    before, partition = unaccounted(), 77
    ledger = ImpressionLedger(ManualClock(0))
    ledger.take_over(partition, ["video"] * 5)
    ledger.record(partition, [], 5, 0)
    assert unaccounted() == before
    ledger.hand_over(partition)
    assert unaccounted() == before
    ledger.take_over(partition, ["video"] * 2)
    ledger.record(partition, [], 2, 0)
    assert unaccounted() == before
    ledger.hand_over(partition)


def _total(metric: "metrics.Counter | metrics.Gauge") -> float:
    samples = (sample for family in metric.collect() for sample in family.samples)
    return sum(sample.value for sample in samples if not sample.name.endswith("_created"))
