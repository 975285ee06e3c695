"""A log of events gives exactly these labels."""

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
from eddy_joiner.core.state import NEVER, JoinState
from eddy_joiner.shell.books import Books
from eddy_joiner.shell.intake import SkippedEvent, accept_event, accept_slate
from tests.joiner.factories import SEC, T0, event_record, list_record, message_of
from tests.joiner.simulation import EXAMPLES, POLICY

MIN = 60 * SEC


class Join:
    """A state with its log; `examples` are those of the last step, by id."""

    def __init__(self, policy: AttributionPolicy = POLICY) -> None:
        self.state = JoinState(policy)
        self.policy = policy
        self.offset = -1
        self.state.begin_batch(0, 0)
        self.refused: list[Refused] = []
        self.shown = 0

    def take(self, *records: Record) -> dict[str, Record]:
        out: list[Outcome] = []
        for record in records:
            if "served_at" in record:
                served = accept_slate(message_of(record), self.policy)
                assert isinstance(served, ServedSlate)
                out += self.state.add_slate(served)
                continue
            self.offset += 1
            event = accept_event(message_of(record, self.offset), self.policy)
            assert isinstance(event, JoinerEvent)
            out += self.state.apply(event)
        return self.written(out)

    def idle(self, until: int) -> dict[str, Record]:
        return self.written(self.state.idle(until))

    def written(self, outcomes: Sequence[Outcome]) -> dict[str, Record]:
        found: dict[str, Record] = {}
        for outcome in outcomes:
            if isinstance(outcome, Refused):
                self.refused.append(outcome)
            elif isinstance(outcome, ImpressionOutcome):
                self.shown += len(outcome.items)
            else:
                record = EXAMPLES.decode(encode_example(outcome, 5))
                assert record["example_id"] not in found
                found[record["example_id"]] = record
        return found


def tick(at: int, user: str = "other") -> Record:
    """An event that does nothing but tell the time."""
    return event_record(f"tick-{at}", user, "search", at)


def impression(request: str, at: int, item: str | None = None, user: str = "u") -> Record:
    return event_record(f"imp-{request}-{item}", user, "impression", at, item, request_id=request)


def test_golden_log() -> None:
    join = Join()
    served = list_record("r1", "u", ["a", "b", "c"], T0, considered=["a", "b", "c", "d"])
    assert join.take(served, impression("r1", T0 + SEC)) == {}
    assert (join.shown, join.state.open_impressions) == (3, 3)

    found = join.take(event_record("c1", "u", "click", T0 + MIN, "b", request_id="r1", value=5.0))
    assert found.keys() == {"r1/b/label", "c1/next"}
    label = found["r1/b/label"]
    assert (label["kind"], label["request_id"], label["event_id"], label["scenario"]) == ("label", "r1", "c1", "video")
    assert label["items"] == [
        {"item_id": "b", "position": 1, "propensity": 0.5, "label": 1, "action": "click", "value": 1.0}
    ]
    rows = np.frombuffer(served["features"], "<f2").reshape(4, len(FEATURES))
    assert label["features"] == rows[1].tobytes()
    assert (label["considered"], label["considered_features"]) == ([], b"")
    assert label["history"] == served["history"]
    assert (label["occurred_at"], label["shown_at"], label["labelled_at"]) == (T0 + MIN, T0 + SEC, 5)
    assert (label["model_version"], label["contract"]) == (7, served["contract"])

    following = found["c1/next"]
    assert (following["kind"], following["request_id"]) == ("next_item", "r1")
    assert following["items"] == label["items"]
    assert following["considered"] == ["a", "b", "c", "d"]
    assert following["considered_features"] == served["features"]
    assert following["history"] == served["history"]

    # Stronger, then weaker, then the strongest once more: one upgrade.
    found = join.take(
        event_record("s1", "u", "share", T0 + 2 * MIN, "b", request_id="r1"),
        event_record("l1", "u", "like", T0 + 3 * MIN, "b", request_id="r1"),
        event_record("s2", "u", "share", T0 + 3 * MIN, "b", request_id="r1"),
    )
    assert found.keys() == {"r1/b/share/upgrade", "s1/next", "l1/next", "s2/next"}
    assert found["r1/b/share/upgrade"]["items"][0]["action"] == "share"

    # The window is 1800 s after the impression; it closes when the log has passed it.
    assert join.take(tick(T0 + SEC + 30 * MIN)) == {}
    found = join.take(tick(T0 + SEC + 30 * MIN + 1))
    assert found.keys() == {"r1/negatives/0"}
    negatives = found["r1/negatives/0"]
    assert [(item["item_id"], item["label"], item["action"]) for item in negatives["items"]] == [
        ("a", 0, ""),
        ("c", 0, ""),
    ]
    assert negatives["features"] == rows[0].tobytes() + rows[2].tobytes()
    assert (negatives["event_id"], negatives["occurred_at"]) == (None, T0 + SEC + 30 * MIN)
    assert join.state.open_impressions == 0

    # Too late for a label; still the user's next item.
    found = join.take(event_record("c9", "u", "click", T0 + 31 * MIN, "a", request_id="r1"), tick(T0 + 62 * MIN))
    assert found.keys() == {"c9/next"}


def test_duplicates_change_nothing() -> None:
    join = Join()
    click = event_record("c1", "u", "click", T0 + 2, "a", request_id="r1")
    join.take(list_record("r1", "u", ["a", "b"], T0), impression("r1", T0 + 1))
    assert join.take(click).keys() == {"r1/a/label", "c1/next"}
    assert join.take(click, impression("r1", T0 + 1), {**impression("r1", T0 + 5), "event_id": "again"}) == {}
    assert (
        join.take(list_record("r1", "u", ["a", "b", "c"], T0 + 7), {**impression("r1", T0 + 8), "event_id": "3"}) == {}
    )
    assert (join.shown, join.state.open_impressions) == (2, 1)


def test_impression_of_an_item_shows_that_item() -> None:
    join = Join()
    join.take(list_record("r1", "u", ["a", "b", "c"], T0), impression("r1", T0 + 1, "b"))
    assert join.shown == 1
    join.take(impression("r1", T0 + MIN), impression("r1", T0 + MIN, "not in the list"))
    assert join.shown == 3
    found = join.take(tick(T0 + 2 + 30 * MIN))
    assert [item["item_id"] for item in found["r1/negatives/1"]["items"]] == ["b"]
    found = join.take(tick(T0 + 2 + 31 * MIN))
    assert [item["item_id"] for item in found["r1/negatives/0"]["items"]] == ["a", "c"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (2, 1, 0), (1, 2, 0), (0, 2, 1), (1, 0, 2)])
def test_order_of_arrival_does_not_matter(order: tuple[int, ...]) -> None:
    records = [
        list_record("r1", "u", ["a", "b"], T0),
        impression("r1", T0 + 1),
        event_record("c1", "u", "click", T0 + 2, "a", request_id="r1"),
    ]
    join = Join()
    found = join.take(*[records[index] for index in order])
    assert found.keys() == {"r1/a/label", "c1/next"}
    assert join.take(tick(T0 + 3 + 30 * MIN)).keys() == {"r1/negatives/1"}


def test_action_without_request_goes_to_the_newest_shown_list_with_the_item() -> None:
    join = Join()
    join.take(
        list_record("r1", "u", ["a", "b"], T0),
        list_record("r2", "u", ["a", "c"], T0 + 1),
        list_record("r3", "u", ["a"], T0 + 2),
        list_record("r4", "u", ["a"], T0 + 2, scenario="shop"),
        list_record("r5", "somebody else", ["a"], T0 + 2),
        impression("r1", T0 + 10),
        impression("r2", T0 + 11),
        event_record("i4", "u", "impression", T0 + 12, request_id="r4", scenario="shop"),
        impression("r5", T0 + 13, user="somebody else"),
    )
    assert join.take(event_record("c1", "u", "click", T0 + MIN, "a")).keys() == {"r2/a/label", "c1/next"}
    assert join.take(event_record("c2", "u", "click", T0 + MIN, "b")).keys() == {"r1/b/label", "c2/next"}
    assert join.take(event_record("c3", "u", "click", T0 + MIN, "a")).keys() == {"c3/next"}


def test_action_without_request_waits_for_an_impression_whose_list_is_late() -> None:
    join = Join()
    assert join.take(impression("r1", T0 + 10), event_record("c1", "u", "click", T0 + 20, "a")) == {}
    assert join.take(list_record("r1", "u", ["a"], T0)).keys() == {"r1/a/label", "c1/next"}


def test_organic_event_takes_the_newest_list_that_considered_it() -> None:
    join = Join()
    older = list_record("r1", "u", ["a"], T0, considered=["a", "x"], past=["old"])
    newer = list_record("r2", "u", ["b"], T0 + 1, considered=["b"], past=["new"])
    after = list_record("r3", "u", ["x"], T0 + MIN, past=["later"])
    knowing = list_record("r4", "u", ["x"], T0 + 2, past=["knows"], applied_offset=0)
    found = join.take(older, newer, after, knowing, event_record("o1", "u", "rate", T0 + SEC, "x", value=2.0))
    example = found["o1/next"]
    assert example["items"] == [
        {"item_id": "x", "position": -1, "propensity": 0.0, "label": 1, "action": "rate", "value": 0.25}
    ]
    assert (example["request_id"], example["considered"], example["history"]) == (None, ["a", "x"], older["history"])
    assert (example["shown_at"], example["model_version"], example["contract"]) == (None, 7, older["contract"])

    nowhere = join.take(event_record("o2", "u", "rate", T0 + SEC, "y"))["o2/next"]
    assert (nowhere["considered"], nowhere["features"], nowhere["contract"]) == ([], b"", "")
    assert nowhere["history"] == knowing["history"]
    assert join.take(event_record("o3", "nobody", "rate", T0 + SEC, "y"))["o3/next"]["history"] is None


def test_a_list_is_superseded_once_the_user_acted_and_asked_again() -> None:
    join = Join()
    first = list_record("r1", "u", ["a", "b"], T0, past=["p"])
    beside = list_record("r2", "u", ["c"], T0, past=["p"])
    join.take(first, beside, impression("r1", T0 + 2), impression("r2", T0 + 3))
    assert not join.take(event_record("c1", "u", "click", T0 + SEC, "a"))["c1/next"]["superseded"]

    acted = {"past": ["p", "a"], "applied_offset": join.offset}
    elsewhere = list_record("r3", "u", ["z"], T0 + 2 * SEC, scenario="shop", **acted)
    others = list_record("r4", "somebody else", ["z"], T0 + 2 * SEC, **acted)
    not_yet = list_record("r5", "u", ["z"], T0 + MIN, **acted)
    knows_less = list_record("r6", "u", ["z"], T0 + 2 * SEC, past=[])
    seen_only = list_record("r7", "u", ["z"], T0, past=["p"], applied_offset=join.offset)
    join.take(elsewhere, others, not_yet, knows_less, seen_only)
    assert not join.take(event_record("c2", "u", "click", T0 + 3 * SEC, "c"))["c2/next"]["superseded"]

    join.take(list_record("r8", "u", ["y"], T0 + 4 * SEC, past=["p", "a", "c"], applied_offset=join.offset))
    late = join.take(event_record("c3", "u", "click", T0 + 5 * SEC, "b", request_id="r1"))
    assert not late["r1/b/label"]["superseded"]
    assert late["c3/next"]["superseded"]
    organic = join.take(event_record("o1", "u", "rate", T0 + 6 * SEC, "y"))["o1/next"]
    assert (organic["considered"], organic["superseded"]) == (["y"], False)


def test_action_on_a_list_never_shown_is_organic_when_its_window_is_over() -> None:
    join = Join()
    served = list_record("r1", "u", ["a"], T0)
    assert join.take(served, event_record("c1", "u", "click", T0 + 1, "a", request_id="r1")) == {}
    example = join.take(tick(T0 + 2 + 30 * MIN))["c1/next"]
    assert (example["request_id"], example["items"][0]["position"]) == (None, -1)
    assert example["considered"] == ["a"]
    assert join.shown == 0


def test_impression_of_an_unknown_request_is_refused_when_its_window_is_over() -> None:
    join = Join()
    join.take(impression("nowhere", T0), impression("r1", T0, user="thief"), list_record("r1", "u", ["a"], T0))
    assert join.refused == []
    join.take(tick(T0 + 1 + 30 * MIN))
    assert [(refused.reason, refused.message.offset) for refused in join.refused] == [
        ("unknown_request", 0),
        ("unknown_request", 1),
    ]
    assert join.shown == 0


def test_actions_that_are_not_positive_label_nothing() -> None:
    join = Join()
    join.take(list_record("r1", "u", ["a"], T0), impression("r1", T0 + 1))
    assert join.take(event_record("s", "u", "skip", T0 + 2, "a", request_id="r1")) == {}
    assert join.state.open_impressions == 1


def test_late_impression_has_its_whole_window() -> None:
    join = Join()
    join.take(list_record("r1", "u", ["a"], T0 + 40 * MIN), tick(T0 + 40 * MIN))
    join.take(impression("r1", T0 + 5 * MIN))
    assert join.state.open_impressions == 1
    assert join.take(event_record("c1", "u", "click", T0 + 6 * MIN, "a", request_id="r1")).keys() == {
        "r1/a/label",
        "c1/next",
    }


def test_an_action_after_the_window_labels_nothing_although_the_item_is_still_open() -> None:
    join = Join()
    join.take(list_record("r1", "u", ["a"], T0), tick(T0 + 20 * MIN), impression("r1", T0))
    found = join.take(event_record("c1", "u", "click", T0 + 30 * MIN + 1, "a", request_id="r1"))
    assert found.keys() == {"c1/next"}
    assert join.state.open_impressions == 1
    assert join.take(tick(T0 + 50 * MIN)) == {}
    assert join.take(tick(T0 + 50 * MIN + 1)).keys() == {"r1/negatives/0"}


@pytest.mark.parametrize(("lateness_sec", "shown"), [(0, 0), (7200, 1)])
def test_lateness_lets_a_list_be_shown_when_other_users_are_ahead(lateness_sec: float, shown: int) -> None:
    join = Join(AttributionPolicy(POLICY.scenarios, lateness_sec))
    join.take(list_record("r1", "u", ["a"], T0), tick(T0 + 120 * MIN), impression("r1", T0 + MIN))
    assert join.state.open_impressions == shown
    labelled = join.take(event_record("c1", "u", "click", T0 + 2 * MIN, "a", request_id="r1"))
    assert ("r1/a/label" in labelled) == bool(shown)


def test_idle_partition_closes_windows_at_wall_speed() -> None:
    join = Join()
    join.take(list_record("r1", "u", ["a"], T0), impression("r1", T0))
    assert join.idle(T0 + 30 * MIN) == {}
    assert join.idle(T0 + 30 * MIN + 1).keys() == {"r1/negatives/0"}
    assert join.state.watermark == T0 + 30 * MIN + 1
    # Events go on where they were: the next list has its window, however long the pause was.
    join.take(list_record("r2", "u", ["a"], T0 + 2), impression("r2", T0 + 3))
    assert join.state.open_impressions == 1
    assert join.take(event_record("c2", "u", "click", T0 + 4, "a", request_id="r2")).keys() == {"r2/a/label", "c2/next"}


def test_bad_lists_are_refused_with_their_reason() -> None:
    good = message_of(list_record("r1", "u", ["a"], T0))
    short = list_record("r1", "u", ["a"], T0)
    cases = {
        "undecodable": Message(good.topic, 0, 0, good.key, b"\x00garbage", T0),
        "bad_features": message_of({**short, "features": short["features"][:-2]}),
        "wrong_key": Message(good.topic, 0, 0, b"v", good.value, T0),
        "unknown_scenario": message_of(list_record("r1", "u", ["a"], T0, scenario="nowhere")),
        "timestamp_ahead": message_of(list_record("r1", "u", ["a"], T0 + 25 * 60 * MIN), appended_at=T0),
    }
    for reason, message in cases.items():
        found = accept_slate(message, POLICY)
        assert isinstance(found, Refused)
        assert found.reason == reason


def test_a_refused_request_opens_nothing() -> None:
    refusal = {"reason": "unknown_scenario", "field": "scenario", "detail": "unknown scenario 'nowhere'."}
    refused = message_of(list_record("r1", "u", [], T0, scenario="nowhere", refusal=refusal))
    assert accept_slate(refused, POLICY) is None
    assert isinstance(accept_slate(message_of(list_record("r1", "u", [], T0, scenario="nowhere")), POLICY), Refused)


def test_bad_events_are_passed_over_but_one_far_ahead_is_refused() -> None:
    def taken(record: Record, **message: object) -> object:
        made = message_of(record, appended_at=T0)
        return accept_event(Message(**{**{name: getattr(made, name) for name in made.__slots__}, **message}), POLICY)

    good = event_record("e", "u", "click", T0, "a")
    assert isinstance(taken(good), JoinerEvent)
    ahead = taken({**good, "occurred_at": T0 + 24 * 60 * MIN + 1})
    assert isinstance(ahead, Refused)
    assert ahead.reason == "timestamp_ahead"
    for bad in (
        {**good, "scenario": "nowhere"},
        {**good, "action": "dance"},
        {**good, "item_id": None},
        {**good, "value": float("nan")},
        {**good, "item_id": "x" * 300},
    ):
        assert isinstance(taken(bad), SkippedEvent)
    assert isinstance(taken(good, key=b"v"), SkippedEvent)
    assert isinstance(taken(good, value=b"noise"), SkippedEvent)


def test_lists_far_ahead_of_events_that_lag_are_kept() -> None:
    join = Join()
    join.take(tick(T0), list_record("r1", "u", ["a"], T0 + 1), list_record("r2", "v", ["b"], T0 + 12 * 60 * MIN))
    join.idle(T0 + SEC)
    join.take(impression("r1", T0 + 2))
    assert join.state.open_impressions == 1
    # A day after its window by the lists' own time, a list that no event asked about is let go; one that is shown is not.
    join.take(list_record("r3", "v", ["c"], T0 + 60 * 60 * MIN))
    join.idle(T0 + 2 * SEC)
    join.take(impression("r2", T0 + 3, user="v"))
    assert join.state.open_impressions == 1
    found = join.take(event_record("c1", "u", "click", T0 + 4, "a", request_id="r1"))
    assert found.keys() == {"r1/a/label", "c1/next"}


def test_a_device_whose_clock_is_ahead_closes_nobodys_window() -> None:
    join = Join()
    join.take(list_record("r1", "u", ["a"], T0), impression("r1", T0))
    early = accept_event(message_of(tick(T0 + 23 * 60 * MIN, "v"), 1, appended_at=T0 + SEC), POLICY)
    assert isinstance(early, JoinerEvent)
    assert join.written(join.state.apply(early)) == {}
    assert join.state.clock == T0 + SEC + MAX_CLOCK_LEAD_MS
    assert join.take(event_record("c1", "u", "click", T0 + 2 * MIN, "a", request_id="r1")).keys() == {
        "r1/a/label",
        "c1/next",
    }
    asked = accept_slate(message_of(list_record("r2", "v", ["b"], T0 + 23 * 60 * MIN), appended_at=T0 + SEC), POLICY)
    assert isinstance(asked, ServedSlate)
    assert asked.requested_at == T0 + SEC + MAX_CLOCK_LEAD_MS


def test_events_without_an_id_are_events_of_their_own() -> None:
    join = Join()
    join.take(list_record("r1", "u", ["a"], T0), list_record("r2", "v", ["b"], T0))
    for user, request, item in (("u", "r1", "a"), ("v", "r2", "b")):
        join.take({**impression(request, T0 + 1, user=user), "event_id": ""})
        found = join.take(event_record("", user, "click", T0 + 2, item, request_id=request))
        assert f"{request}/{item}/label" in found
        assert len(found) == 2
    assert join.state.open_impressions == 0


def test_the_window_is_that_of_the_list_whatever_the_impression_says() -> None:
    join = Join()
    join.take(list_record("r1", "u", ["a"], T0), {**impression("r1", T0), "scenario": "social"})
    join.take(tick(T0 + 20 * MIN))
    assert join.state.open_impressions == 1
    assert "r1/a/label" in join.take(event_record("c1", "u", "click", T0 + 21 * MIN, "a", request_id="r1"))


def test_lists_are_let_go_where_no_event_ever_came() -> None:
    join = Join()
    join.take(list_record("r1", "u", ["a"], T0))
    join.take(list_record("r2", "u", ["a"], T0 + 48 * 60 * MIN))
    assert join.state.busy
    assert join.idle(T0) == {}
    assert len(join.state._lists) == 1
    assert join.state.watermark == NEVER


def test_books_balance_in_each_process_over_a_partition_that_goes_and_comes() -> None:
    def off_balance() -> float:
        shown, labels = (_total(metric) for metric in (metrics.IMPRESSIONS, metrics.LABELS))
        return shown - labels - _total(metrics.OPEN_IMPRESSIONS) - _total(metrics.HANDED_OVER)

    before, partition = off_balance(), 77
    books = Books(ManualClock(0))
    books.take_over(partition, ["video"] * 5)
    books.enter(partition, [], 5, 0)
    assert off_balance() == before
    books.leave(partition)
    assert off_balance() == before
    books.take_over(partition, ["video"] * 2)
    books.enter(partition, [], 2, 0)
    assert off_balance() == before
    books.leave(partition)


def _total(metric: "metrics.Counter | metrics.Gauge") -> float:
    samples = (sample for family in metric.collect() for sample in family.samples)
    return sum(sample.value for sample in samples if not sample.name.endswith("_created"))
