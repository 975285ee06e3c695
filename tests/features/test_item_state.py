"""Item states against the sums they stand for."""

import random
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eddy.contract.codec import Codec
from eddy.errors import DecodeError
from eddy_features.core.item_state import ItemPolicy, ItemRules, ItemState, Signal, decay
from tests.features.factories import DAY_MS, START_MS
from tests.features.reference import SCENARIOS

RULES = ItemRules(SCENARIOS, ItemPolicy())
CODEC = Codec.of("item_features")


def signal(offset: int, at: int = START_MS, action: str = "click", previous: tuple[str, ...] = ()) -> Signal:
    return Signal(offset, at, "video", action, list(previous))


def state_of(signals: list[Signal], rules: ItemRules = RULES) -> ItemState:
    state = ItemState()
    for one in signals:
        assert state.apply(0, one, rules)
    return state


def record_of(state: ItemState) -> dict[str, Any]:
    return CODEC.decode(state.encode("m"))


def test_actions_count_where_they_belong() -> None:
    actions = ["impression", "impression", "click", "rate", "skip"]
    state = state_of([signal(offset, action=action) for offset, action in enumerate(actions)])
    counts = state.counts["video"]
    assert (counts.shown, counts.clicked, counts.acted, counts.acted_fast, counts.total) == (2, 1, 2, 2, 2)


def test_values_of_actions_that_have_one_are_summed_and_do_not_decay() -> None:
    later = START_MS + 400 * DAY_MS
    state = state_of([signal(0)._replace(value=0.25), signal(1), signal(2, later)._replace(value=1.0)])
    (row,) = record_of(state)["counts"]
    assert (row["valued"], row["value_sum"]) == (2, 1.25)


def test_half_of_a_count_is_left_after_its_half_life() -> None:
    lives = SCENARIOS["video"].counts
    state = state_of([signal(0), signal(1, START_MS + int(lives.slow_half_life_sec * 1000), "skip")])
    assert state.counts["video"].acted == 0.5
    assert state.counts["video"].acted_fast == pytest.approx(decay(lives.slow_half_life_sec, lives.fast_half_life_sec))


def test_covisits_weigh_by_step_and_the_newest_is_a_transition() -> None:
    state = state_of([signal(0, previous=("a", "b", "c")), signal(1, previous=("b",))])
    record = record_of(state)
    assert record["covisited"] == ["b", "a", "c"]
    assert record["covisit_weights"] == pytest.approx([1 + 2**-0.8, 1.0, 3**-0.8])
    assert record["transition_weights"] == [1.0, 1.0, 0.0]


def test_item_named_twice_in_a_signal_has_one_row() -> None:
    state = state_of([signal(0, previous=("a", "a", "b")), signal(1, previous=("c",))])
    assert sorted(record_of(state)["covisited"]) == ["a", "b", "c"]
    assert len(state.packed) == len(state.rows) == 3


def test_replayed_signal_changes_nothing_and_other_partitions_count_for_themselves() -> None:
    state = state_of([signal(5)])
    before = state.encode("m")
    assert not state.apply(0, signal(5), RULES)
    assert not state.apply(0, signal(3), RULES)
    assert state.encode("m") == before
    assert state.apply(1, signal(3), RULES)
    assert state.applied == {0: 5, 1: 3}


def test_only_the_strongest_covisits_are_kept() -> None:
    rules = ItemRules(SCENARIOS, ItemPolicy(covisited=3, slack=2))
    signals = [signal(offset, previous=(f"i{offset % 4}",)) for offset in range(40)]
    signals += [signal(40 + offset, previous=(f"rare{offset}",)) for offset in range(2)]
    record = record_of(state_of(signals, rules))
    assert len(record["covisited"]) == 3
    assert set(record["covisited"]) < {f"i{number}" for number in range(4)}


def test_first_and_last_times_hold_in_any_order() -> None:
    state = state_of([signal(0, START_MS), signal(1, START_MS - DAY_MS), signal(2, START_MS + DAY_MS)])
    assert (state.first_at, state.as_of) == (START_MS - DAY_MS, START_MS + DAY_MS)


SIGNALS = st.lists(
    st.tuples(
        st.integers(0, 400 * DAY_MS),
        st.sampled_from(["click", "rate", "impression", "skip"]),
        st.lists(st.sampled_from("abcdefg"), unique=True, max_size=5),
    ),
    min_size=1,
    max_size=40,
)


@settings(deadline=None)
@given(SIGNALS)
def test_state_is_the_decayed_sum_over_all_signals(rows: list[tuple[int, str, list[str]]]) -> None:
    signals = [
        Signal(offset, START_MS + at, "video", action, previous if action in ("click", "rate") else [])
        for offset, (at, action, previous) in enumerate(rows)
    ]
    record = record_of(state_of(signals))
    lives = SCENARIOS["video"].counts
    now = max(one.at for one in signals)
    acted = [one for one in signals if one.action in ("click", "rate")]
    assert record["as_of"] == now
    counts = record["counts"][0]
    assert counts["total"] == len(acted)
    assert counts["acted"] == pytest.approx(
        sum(decay((now - one.at) / 1000, lives.slow_half_life_sec) for one in acted), rel=1e-9
    )
    weights: dict[str, float] = defaultdict(float)
    for one in signals:
        for step, other in enumerate(one.previous):
            weights[other] += (step + 1) ** -0.8 * decay((now - one.at) / 1000, lives.covisit_half_life_sec)
    assert dict(zip(record["covisited"], record["covisit_weights"], strict=True)) == pytest.approx(weights, rel=1e-3)
    assert record["covisit_weights"] == sorted(record["covisit_weights"], reverse=True)


@settings(deadline=None)
@given(SIGNALS, st.integers(0, 2**32))
def test_reading_a_state_back_at_any_moment_makes_no_difference(
    rows: list[tuple[int, str, list[str]]], seed: int
) -> None:
    chance = random.Random(seed)
    rules = ItemRules(SCENARIOS, ItemPolicy(covisited=3, slack=2))
    straight, interrupted = ItemState(), ItemState()
    for offset, (at, action, previous) in enumerate(rows):
        one = Signal(offset, START_MS + at, "video", action, previous)
        straight.apply(0, one, rules)
        interrupted.apply(0, one, rules)
        if chance.random() < 0.3:
            interrupted = ItemState.decode(interrupted.encode("m"))
    assert straight.encode("m") == interrupted.encode("m")


def test_busy_item_forgets_as_fast_as_a_quiet_one() -> None:
    """A signal a second is no reason not to decay, in the precision that is published."""
    half_life_ms = int(SCENARIOS["video"].counts.covisit_half_life_sec * 1000)
    times = range(0, half_life_ms, half_life_ms // 10_000)
    busy = state_of([signal(0, previous=("a",)), *[signal(1 + n, START_MS + at) for n, at in enumerate(times)]])
    assert busy.weights.dtype == np.float32
    assert busy.weights[0, 0] == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("changed", [{"covisit_weights": [1.0, 2.0, 3.0]}, {"applied_offsets": {"x": 1}}])
def test_a_record_whose_parts_do_not_fit_is_undecodable(changed: dict[str, Any]) -> None:
    record = {**record_of(state_of([signal(0, previous=("a",))])), **changed}
    with pytest.raises(DecodeError):
        ItemState.decode(Codec.of("item_features").encode(record))
