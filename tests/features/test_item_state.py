"""Item states compared with the exact decayed sums."""

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
    for each in signals:
        assert state.apply(0, each, rules)
    return state


def record_of(state: ItemState) -> dict[str, Any]:
    return CODEC.decode(state.encode("m"))


def test_each_action_updates_its_counts() -> None:
    actions = ["impression", "impression", "click", "rate", "skip"]
    state = state_of([signal(offset, action=action) for offset, action in enumerate(actions)])
    counts = state.counts["video"]
    assert (counts.impressions, counts.clicks, counts.interactions, counts.interactions_fast, counts.total) == (
        2,
        1,
        2,
        2,
        2,
    )


def test_ratings_are_summed_without_decay() -> None:
    later = START_MS + 400 * DAY_MS
    state = state_of([signal(0)._replace(value=0.25), signal(1), signal(2, later)._replace(value=1.0)])
    (row,) = record_of(state)["counts"]
    assert (row["valued"], row["value_sum"]) == (2, 1.25)


def test_count_is_halved_after_its_half_life() -> None:
    half_lives = SCENARIOS["video"].counts
    state = state_of([signal(0), signal(1, START_MS + int(half_lives.slow_half_life_sec * 1000), "skip")])
    assert state.counts["video"].interactions == 0.5
    assert state.counts["video"].interactions_fast == pytest.approx(
        decay(half_lives.slow_half_life_sec, half_lives.fast_half_life_sec)
    )


def test_covisits_are_weighted_by_distance_and_the_nearest_is_a_transition() -> None:
    state = state_of([signal(0, previous=("a", "b", "c")), signal(1, previous=("b",))])
    record = record_of(state)
    assert record["covisited"] == ["b", "a", "c"]
    assert record["covisit_weights"] == pytest.approx([1 + 2**-0.8, 1.0, 3**-0.8])
    assert record["transition_weights"] == [1.0, 1.0, 0.0]


def test_item_that_occurs_twice_in_a_signal_has_one_row() -> None:
    state = state_of([signal(0, previous=("a", "a", "b")), signal(1, previous=("c",))])
    assert sorted(record_of(state)["covisited"]) == ["a", "b", "c"]
    assert len(state.packed_ids) == len(state.rows) == 3


def test_applied_signal_changes_nothing_and_offsets_are_per_partition() -> None:
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


def test_first_at_and_as_of_do_not_depend_on_the_order() -> None:
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
    half_lives = SCENARIOS["video"].counts
    now = max(each.at for each in signals)
    positive = [each for each in signals if each.action in ("click", "rate")]
    assert record["as_of"] == now
    counts = record["counts"][0]
    assert counts["total"] == len(positive)
    assert counts["acted"] == pytest.approx(
        sum(decay((now - each.at) / 1000, half_lives.slow_half_life_sec) for each in positive), rel=1e-9
    )
    weights: dict[str, float] = defaultdict(float)
    for each in signals:
        for step, other in enumerate(each.previous):
            weights[other] += (step + 1) ** -0.8 * decay((now - each.at) / 1000, half_lives.covisit_half_life_sec)
    assert dict(zip(record["covisited"], record["covisit_weights"], strict=True)) == pytest.approx(weights, rel=1e-3)
    assert record["covisit_weights"] == sorted(record["covisit_weights"], reverse=True)


@settings(deadline=None)
@given(SIGNALS, st.integers(0, 2**32))
def test_encoding_and_decoding_at_any_moment_makes_no_difference(
    rows: list[tuple[int, str, list[str]]], seed: int
) -> None:
    rng = random.Random(seed)
    rules = ItemRules(SCENARIOS, ItemPolicy(covisited=3, slack=2))
    uninterrupted, interrupted = ItemState(), ItemState()
    for offset, (at, action, previous) in enumerate(rows):
        each = Signal(offset, START_MS + at, "video", action, previous)
        uninterrupted.apply(0, each, rules)
        interrupted.apply(0, each, rules)
        if rng.random() < 0.3:
            interrupted = ItemState.decode(interrupted.encode("m"))
    assert uninterrupted.encode("m") == interrupted.encode("m")


def test_busy_item_decays_as_fast_as_a_quiet_one() -> None:
    """A signal every second must not prevent the decay, despite single precision."""
    half_life_ms = int(SCENARIOS["video"].counts.covisit_half_life_sec * 1000)
    times = range(0, half_life_ms, half_life_ms // 10_000)
    busy = state_of([signal(0, previous=("a",)), *[signal(1 + n, START_MS + at) for n, at in enumerate(times)]])
    assert busy.weights.dtype == np.float32
    assert busy.weights[0, 0] == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("changed", [{"covisit_weights": [1.0, 2.0, 3.0]}, {"applied_offsets": {"x": 1}}])
def test_inconsistent_record_is_undecodable(changed: dict[str, Any]) -> None:
    record = {**record_of(state_of([signal(0, previous=("a",))])), **changed}
    with pytest.raises(DecodeError):
        ItemState.decode(Codec.of("item_features").encode(record))
