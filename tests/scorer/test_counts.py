"""Decayed counts and the orders that follow from them."""

import numpy as np
import pytest

from eddy_scorer.core.state.counts import ORDER_LENGTH, PRIOR_RATING, ItemCountTable
from tests.scorer.factories import DAY, HOUR, NOW, counts, item_features, scenarios

VIDEO, SOCIAL = 0, 2


def _counts(*acted: float) -> ItemCountTable:
    table = ItemCountTable(scenarios())
    for row, count in enumerate(acted, 1):
        table.apply(row, item_features(f"m{row}", acted=count))
    return table


def _all(size: int) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    eligible = np.ones(size, bool)
    eligible[0] = False
    return eligible


def test_counts_decay_at_the_time_of_the_request() -> None:
    table = _counts(8.0)
    lives = scenarios()["video"].counts
    at = np.array([NOW + round(lives.fast_half_life_sec * 1000)])
    found = table.gather(np.array([[1]]), np.array([VIDEO]), at, np.zeros((1, 1), np.int64))
    assert found.recent_interactions[0, 0] == pytest.approx(4.0)
    assert found.interactions[0, 0] == pytest.approx(8.0 * 2 ** -(lives.fast_half_life_sec / lives.slow_half_life_sec))
    assert found.total[0, 0] == 8


def test_counts_of_another_scenario_do_not_count() -> None:
    table = ItemCountTable(scenarios())
    assert table.apply(1, item_features("m", counts=[counts(3.0, "social")])) == [SOCIAL]
    found = table.gather(
        np.array([[1], [1]]), np.array([VIDEO, SOCIAL]), np.array([NOW, NOW]), np.zeros((2, 1), np.int64)
    )
    assert found.interactions[:, 0].tolist() == [0.0, 3.0]


def test_few_values_are_drawn_towards_the_usual_one() -> None:
    table = ItemCountTable(scenarios())
    assert table.mean_rating == table.mean_ratings(np.array([0]))[0] == PRIOR_RATING
    table.apply(1, item_features("m", counts=[counts(9.0, valued=15, value_sum=15.0)]))
    assert table.mean_rating == pytest.approx((15 + 5 * PRIOR_RATING) / 20)
    assert table.mean_ratings(np.array([[1, 0]]))[0] == pytest.approx([(15 + 5 * 0.875) / 20, 0.875])
    table.apply(1, item_features("m", counts=[counts(9.0, valued=5, value_sum=0.0)]))
    assert table.mean_rating == pytest.approx(5 * PRIOR_RATING / 10)


def test_mean_value_may_leave_a_rating_out() -> None:
    table = ItemCountTable(scenarios())
    table.apply(1, item_features("m", counts=[counts(9.0, valued=2, value_sum=1.25)]))
    usual = table.mean_rating
    given = np.array([1.0, 0.0], np.float32)
    found = table.mean_ratings(np.array([1, 1]), without=np.array([1.0, 1.0], np.float32), mask=given)
    assert found == pytest.approx([(0.25 + 5 * usual) / 6, (1.25 + 5 * usual) / 7])
    assert table.mean_ratings(np.array([0]), without=1.0, mask=1.0) == pytest.approx([usual])


def test_values_of_all_scenarios_count() -> None:
    table = ItemCountTable(scenarios())
    rows = [counts(1.0, valued=1, value_sum=1.0), counts(1.0, "shop", valued=2, value_sum=0.5)]
    table.apply(1, item_features("m", counts=rows))
    found = table.gather(np.array([[1]]), np.array([VIDEO]), np.array([NOW]), np.zeros((1, 1), np.int64))
    assert found.total[0, 0] == 2
    assert table.mean_ratings(np.array([1]))[0] == pytest.approx((1.5 + 5 * table.mean_rating) / 8)


def test_age_is_from_first_action_or_publication() -> None:
    table = _counts(1.0)
    found = table.gather(
        np.array([[1, 1, 2]]), np.array([VIDEO]), np.array([NOW]), np.array([[0, NOW - 3 * DAY, NOW - 2 * DAY]])
    )
    assert found.age_days[0].tolist() == [1.0, 3.0, 2.0]


def test_popular_order_ends_with_items_nobody_acted_on() -> None:
    table = _counts(2.0, 0.0, 5.0)
    assert table.popular(VIDEO, _all(4)).tolist() == [3, 1, 2]
    assert table.trending(VIDEO, _all(4)).tolist() == [3, 1]


def test_trending_prefers_what_is_recent() -> None:
    table = ItemCountTable(scenarios())
    table.apply(1, item_features("old", acted=50.0, as_of=NOW - 60 * DAY))
    table.apply(2, item_features("new", acted=2.0, as_of=NOW - HOUR))
    assert table.trending(VIDEO, _all(3)).tolist() == [2, 1]
    assert table.popular(VIDEO, _all(3)).tolist() == [1, 2]


def test_fresh_order_is_newest_first_and_knows_no_ageless_items() -> None:
    table = ItemCountTable(scenarios())
    table.apply(1, item_features("a", first_at=NOW - DAY))
    published = np.array([0, 0, NOW, 0], np.int64)
    assert table.fresh(_all(4), published).tolist() == [2, 1]


def test_orders_are_cut_and_leave_out_what_is_not_eligible() -> None:
    table = _counts(*np.arange(1.0, ORDER_LENGTH + 51).tolist())
    eligible = _all(ORDER_LENGTH + 51)
    eligible[-1] = False
    order = table.popular(VIDEO, eligible)
    assert len(order) == ORDER_LENGTH
    assert order[:2].tolist() == [ORDER_LENGTH + 49, ORDER_LENGTH + 48]


def test_older_record_is_known_as_such() -> None:
    table = ItemCountTable(scenarios())
    table.apply(1, item_features("m", applied_offsets={"0": 5, "1": 2}))
    assert not table.is_current(1, item_features("m", applied_offsets={"0": 5, "1": 1}))
    assert table.is_current(1, item_features("m", applied_offsets={"0": 5, "1": 2}))


def test_forgotten_row_counts_nothing() -> None:
    table = _counts(3.0)
    table.forget(1)
    assert table.trending(VIDEO, _all(2)).tolist() == []
    assert table.is_current(1, item_features("m", applied_offsets={"0": 0}))
