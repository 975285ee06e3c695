"""A device with a wrong clock harms its own events at most, and a replayed log gives the labels of the log as it was lived."""

from itertools import product

import pytest

from eddy_joiner.core.policy import AttributionPolicy
from tests.joiner.factories import REPLAYED_AT, SEC, T0, event_record, slate_record
from tests.joiner.simulation import POLICY
from tests.joiner.test_golden import MIN, Join, impression, tick

HOUR = 60 * MIN
# Clocks of devices, as differences from the server's.
CLOCKS = {
    "right": 0,
    "a second ahead": SEC,
    "two minutes ahead": 2 * MIN,
    "two hours ahead": 2 * HOUR,
    "23 hours ahead": 23 * HOUR,
    "two minutes behind": -2 * MIN,
    "ten minutes behind": -10 * MIN,
    "two hours behind": -2 * HOUR,
    "a day behind": -24 * HOUR,
    "in the wrong year": -3 * 365 * 24 * HOUR,
}
SOME = [0, 2 * HOUR, -10 * MIN, -2 * HOUR, CLOCKS["in the wrong year"]]
ANY_TWO_CLOCKS = pytest.mark.parametrize(
    ("shown", "clicked"), list(product(SOME, repeat=2)), ids=lambda clock: f"{clock / MIN:.0f}min"
)
ANY_CLOCK = pytest.mark.parametrize("clock", CLOCKS.values(), ids=CLOCKS)
QUIET = pytest.mark.parametrize("quiet", [True, False], ids=["quiet", "busy"])


def others(join: Join, quiet: bool, at: int) -> None:
    """An event of a user with a right clock, unless nobody else is there."""
    if not quiet:
        join.take(tick(at))


@ANY_TWO_CLOCKS
@QUIET
@pytest.mark.parametrize("request_id", ["r1", None])
def test_a_click_within_the_window_is_positive(shown: int, clicked: int, quiet: bool, request_id: str | None) -> None:
    join = Join()
    others(join, quiet, T0)
    join.take(slate_record("r1", "u", ["a", "b"], T0), at=T0)
    join.take(impression("r1", T0 + SEC + shown), at=T0 + SEC)
    others(join, quiet, T0 + 10 * MIN)
    click = event_record("c1", "u", "click", T0 + 29 * MIN + clicked, "b", request_id=request_id)
    examples = join.take(click, at=T0 + 29 * MIN)
    assert examples.keys() == {"r1/b/label", "c1/next"}
    assert examples["c1/next"]["considered"] == ["a", "b"]
    stronger = event_record("s1", "u", "share", T0 + 29 * MIN + clicked, "b", request_id="r1")
    assert join.take(stronger, at=T0 + 29 * MIN).keys() == {"r1/b/share/upgrade", "s1/next"}
    assert join.take(tick(T0 + 31 * MIN)).keys() == {"r1/negatives/0"}


@ANY_TWO_CLOCKS
@QUIET
def test_a_click_after_the_window_is_not_positive(shown: int, clicked: int, quiet: bool) -> None:
    join = Join()
    others(join, quiet, T0)
    join.take(slate_record("r1", "u", ["a", "b"], T0), at=T0)
    join.take(impression("r1", T0 + SEC + shown), at=T0 + SEC)
    others(join, quiet, T0 + 10 * MIN)
    click = event_record("c1", "u", "click", T0 + 31 * MIN + clicked, "b", request_id="r1")
    assert {**join.take(click, at=T0 + 31 * MIN), **join.take(tick(T0 + 62 * MIN))}.keys() == {
        "r1/negatives/0",
        "c1/next",
    }
    assert join.state.open_impressions == 0


@ANY_TWO_CLOCKS
@QUIET
def test_a_click_before_its_impression_is_positive(shown: int, clicked: int, quiet: bool) -> None:
    join = Join()
    others(join, quiet, T0)
    join.take(slate_record("r1", "u", ["a", "b"], T0), at=T0)
    assert join.take(event_record("c1", "u", "click", T0 + SEC + clicked, "b", request_id="r1"), at=T0 + SEC) == {}
    others(join, quiet, T0 + MIN)
    assert join.take(impression("r1", T0 + MIN + shown), at=T0 + MIN).keys() == {"r1/b/label", "c1/next"}


@ANY_CLOCK
@QUIET
def test_a_click_whose_impression_is_missing_teaches_with_the_candidates_of_its_slate(clock: int, quiet: bool) -> None:
    join = Join()
    others(join, quiet, T0)
    join.take(slate_record("r1", "u", ["a"], T0, considered=["a", "x"]), at=T0)
    join.take(event_record("c1", "u", "click", T0 + MIN + clock, "a", request_id="r1"), at=T0 + MIN)
    unattributed = join.take(event_record("o1", "u", "rate", T0 + MIN + clock, "x"), at=T0 + MIN)
    assert unattributed["o1/next"]["considered"] == ["a", "x"]
    example = join.take(tick(T0 + 32 * MIN))["c1/next"]
    assert (example["request_id"], example["considered"]) == (None, ["a", "x"])


@ANY_CLOCK
def test_a_wrong_clock_changes_no_label_of_others(clock: int) -> None:
    join = Join()
    join.take(slate_record("r1", "u", ["a", "b"], T0), impression("r1", T0))
    join.take(tick(T0 + SEC + clock, "v"), at=T0 + SEC)
    join.take(slate_record("r2", "u", ["c", "d"], T0 + MIN), impression("r2", T0 + MIN))
    join.take(tick(T0 + 29 * MIN + clock, "v"), at=T0 + 29 * MIN)
    assert join.state.open_impressions == 4
    assert join.take(event_record("c1", "u", "click", T0 + 30 * MIN, "a", request_id="r1")).keys() == {
        "r1/a/label",
        "c1/next",
    }
    assert join.take(event_record("c2", "u", "click", T0 + 30 * MIN + 1, "c")).keys() == {
        "r1/negatives/1",
        "r2/c/label",
        "c2/next",
    }


def test_the_last_impression_is_the_last_one_to_arrive() -> None:
    join = Join()
    join.take(slate_record("r1", "u", ["a"], T0), slate_record("r2", "u", ["a"], T0 + 1))
    join.take(impression("r1", T0 + 2 * HOUR), at=T0 + SEC)
    join.take(impression("r2", T0 - 2 * HOUR), at=T0 + 2 * SEC)
    assert "r2/a/label" in join.take(event_record("c1", "u", "click", T0 + MIN, "a"))


@pytest.mark.parametrize("after", [29 * MIN, 31 * MIN])
def test_replayed_events_keep_the_windows_of_their_own_time(after: int) -> None:
    join = Join(AttributionPolicy(POLICY.scenarios, 7 * 24 * 3600))
    join.take(tick(T0 + 24 * HOUR), at=REPLAYED_AT)  # another user is ahead
    join.take(slate_record("r1", "u", ["a"], T0), impression("r1", T0), at=REPLAYED_AT)
    click = event_record("c1", "u", "click", T0 + after, "a", request_id="r1")
    examples = join.take(click, at=REPLAYED_AT + 1)
    assert ("r1/a/label" in examples) == (after <= 30 * MIN)
    closed = {**examples, **join.take(tick(T0 + 24 * HOUR + 31 * MIN), at=REPLAYED_AT + 2)}
    assert ("r1/negatives/0" in closed) == (after > 30 * MIN)


@pytest.mark.parametrize(
    "wrong", [MIN, 2 * HOUR, 24 * HOUR, 300 * 24 * HOUR, 365 * 24 * HOUR, -2 * HOUR, -3 * 365 * 24 * HOUR]
)
@pytest.mark.parametrize("first", [True, False], ids=["first of the log", "later"])
def test_a_wrong_clock_in_a_replay_changes_no_label_of_others(wrong: int, first: bool) -> None:
    join, at = Join(), REPLAYED_AT

    def device(now: int) -> None:
        """Events of the wrong device: with and without a slate."""
        name = f"w{now}"
        join.take(slate_record(name, "v", ["x"], now), impression(name, now + wrong, user="v"), at=at)
        click = event_record(f"c{name}", "v", "click", now + wrong + SEC, "x", request_id=name)
        join.take(click, tick(now + wrong + 2 * SEC, "v"), at=at)

    if first:
        device(T0 - 2)
    join.take(tick(T0 - 1, "a"), tick(T0 - 1, "b"), slate_record("r1", "u", ["a", "b"], T0), at=at)
    join.take(impression("r1", T0), at=at)
    device(T0 + MIN)
    join.take(slate_record("r2", "u", ["c", "d"], T0 + 2 * MIN), at=at)
    device(T0 + 3 * MIN)
    join.take(impression("r2", T0 + 2 * MIN), at=at)
    device(T0 + 29 * MIN)
    clicks = {}
    for request, item, after in (("r1", "a", 29 * MIN), ("r2", "c", 31 * MIN)):
        click = event_record(f"c-{item}", "u", "click", T0 + after, item, request_id=request)
        clicks |= join.take(click, at=at)
    assert {"r1/a/label", "r2/c/label"} <= clicks.keys()
    late = event_record("c-d", "u", "click", T0 + 33 * MIN, "d", request_id="r2")
    closed = {**clicks, **join.take(late, tick(T0 + 40 * MIN, "a"), tick(T0 + 40 * MIN, "b"), at=at)}
    assert {"r1/negatives/1", "r2/negatives/1"} <= closed.keys()
    assert "r2/d/label" not in closed


def test_windows_of_a_single_user_s_replay_close_when_the_log_has_ended() -> None:
    join = Join()
    join.take(slate_record("r1", "u", ["a", "b"], T0), impression("r1", T0), at=REPLAYED_AT)
    click = event_record("c1", "u", "click", T0 + MIN, "a", request_id="r1")
    assert "r1/a/label" in join.take(click, at=REPLAYED_AT)
    started = join.state.watermark
    assert started == T0 + MIN
    assert join.idle(started + 29 * MIN) == {}
    assert join.idle(started + 29 * MIN + 1).keys() == {"r1/negatives/1"}


def test_live_traffic_during_a_replay_keeps_its_windows() -> None:
    join = Join()
    now = REPLAYED_AT
    join.take(slate_record("r1", "u", ["a"], now), impression("r1", now))
    for hour in range(48):
        join.take(tick(T0 + hour * HOUR), at=now + hour)
    assert "r1/a/label" in join.take(event_record("c1", "u", "click", now + MIN, "a", request_id="r1"))


def test_a_window_of_broker_time_closes_while_the_partition_is_idle() -> None:
    join = Join()
    join.take(slate_record("r1", "u", ["a"], T0), at=T0)
    join.take(impression("r1", T0 - 2 * HOUR), at=T0)
    started = join.state.watermark
    assert join.idle(started + 30 * MIN) == {}
    assert join.idle(started + 30 * MIN + 1).keys() == {"r1/negatives/0"}
