"""The policy: positions, propensities, and that stated propensities match observed frequencies."""

from collections import Counter

import numpy as np
import pytest

from eddy_scorer.core.ranking.policy import choose


def test_top_is_certain_and_in_order() -> None:
    choice = choose([3, 1, 2], [], pool=10, limit=2, random_slots=0)
    assert (choice.columns, choice.ranked, choice.propensities) == ([3, 1], 2, [1.0, 1.0])


def test_exploration_slot_takes_the_first_sampled_item_outside_the_top() -> None:
    choice = choose([0, 1, 2, 3], [1, 7, 3], pool=12, limit=3, random_slots=1)
    assert (choice.columns, choice.ranked) == ([0, 1, 7], 2)
    assert choice.propensities == [1.0, 1.0, pytest.approx(1 / 10)]


def test_several_exploration_slots_have_different_items() -> None:
    assert choose([0, 1, 2, 3], [4, 5], pool=6, limit=4, random_slots=2).columns == [0, 1, 4, 5]


def test_slate_of_one_position_does_not_explore() -> None:
    assert choose([4, 5], [9], pool=10, limit=1, random_slots=1).columns == [4]


def test_short_ranking_gives_a_short_slate() -> None:
    assert choose([0, 1], [0, 1], pool=2, limit=10, random_slots=1).columns == [0, 1]


def test_stated_propensity_is_the_frequency() -> None:
    """Samples as the random source makes them: uniform permutations of the pool."""
    rng = np.random.default_rng(5)
    rounds, pool = 6000, 8
    last: Counter[int] = Counter()
    for _ in range(rounds):
        choice = choose(list(range(pool)), rng.permutation(pool).tolist(), pool, limit=4, random_slots=1)
        last[choice.columns[-1]] += 1
        assert choice.propensities[-1] == pytest.approx(1 / 5)
    assert set(last) == {3, 4, 5, 6, 7}
    assert all(abs(count / rounds - 1 / 5) < 0.02 for count in last.values())


def test_stated_propensity_is_the_frequency_with_partial_exploration() -> None:
    rng = np.random.default_rng(6)
    rounds, pool = 8000, 8
    last: Counter[int] = Counter()
    stated: dict[int, float] = {}
    for _ in range(rounds):
        sampled = rng.permutation(pool).tolist()
        choice = choose(list(range(pool)), sampled, pool, 4, random_slots=1, probability=0.5, uniform=rng.random())
        last[choice.columns[-1]] += 1
        stated[choice.columns[-1]] = choice.propensities[-1]
    assert stated == {3: pytest.approx(0.6), **{item: pytest.approx(0.1) for item in (4, 5, 6, 7)}}
    assert all(abs(last[item] / rounds - stated[item]) < 0.02 for item in stated)


def test_ranking_continues_without_exploration() -> None:
    choice = choose([0, 1, 2, 3], [7, 3], pool=12, limit=3, random_slots=1, probability=0.2, uniform=0.9)
    assert (choice.columns, choice.ranked) == ([0, 1, 2], 3)
    assert choice.propensities == [1.0, 1.0, pytest.approx(0.8 + 0.2 / 10)]


def test_too_short_ranking_always_explores() -> None:
    choice = choose([0, 1], [7], pool=3, limit=3, random_slots=1, probability=0.2, uniform=0.9)
    assert choice.columns == [0, 1, 7]
    assert choice.propensities[-1] == 1.0
