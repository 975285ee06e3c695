"""Decayed counts, and the orders computed from them."""

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
    gathered = table.gather(np.array([[1]]), np.array([VIDEO]), at, np.zeros((1, 1), np.int64))
    assert gathered.recent_interactions[0, 0] == pytest.approx(4.0)
    assert gathered.interactions[0, 0] == pytest.approx(
        8.0 * 2 ** -(lives.fast_half_life_sec / lives.slow_half_life_sec)
    )
    assert gathered.total[0, 0] == 8


def test_counts_of_another_scenario_do_not_count() -> None:
    table = ItemCountTable(scenarios())
    assert table.apply(1, item_features("m", counts=[counts(3.0, "social")])) == [SOCIAL]
    gathered = table.gather(
        np.array([[1], [1]]), np.array([VIDEO, SOCIAL]), np.array([NOW, NOW]), np.zeros((2, 1), np.int64)
    )
    assert gathered.interactions[:, 0].tolist() == [0.0, 3.0]


def test_mean_rating_of_few_ratings_is_shrunk_towards_the_overall_mean() -> None:
    table = ItemCountTable(scenarios())
    assert table.mean_rating == table.mean_ratings(np.array([0]))[0] == PRIOR_RATING
    table.apply(1, item_features("m", counts=[counts(9.0, valued=15, value_sum=15.0)]))
    assert table.mean_rating == pytest.approx((15 + 5 * PRIOR_RATING) / 20)
    assert table.mean_ratings(np.array([[1, 0]]))[0] == pytest.approx([(15 + 5 * 0.875) / 20, 0.875])
    table.apply(1, item_features("m", counts=[counts(9.0, valued=5, value_sum=0.0)]))
    assert table.mean_rating == pytest.approx(5 * PRIOR_RATING / 10)


def test_mean_rating_can_exclude_one_rating() -> None:
    table = ItemCountTable(scenarios())
    table.apply(1, item_features("m", counts=[counts(9.0, valued=2, value_sum=1.25)]))
    overall = table.mean_rating
    mask = np.array([1.0, 0.0], np.float32)
    gathered = table.mean_ratings(np.array([1, 1]), without=np.array([1.0, 1.0], np.float32), mask=mask)
    assert gathered == pytest.approx([(0.25 + 5 * overall) / 6, (1.25 + 5 * overall) / 7])
    assert table.mean_ratings(np.array([0]), without=1.0, mask=1.0) == pytest.approx([overall])


def test_ratings_of_all_scenarios_count() -> None:
    table = ItemCountTable(scenarios())
    rows = [counts(1.0, valued=1, value_sum=1.0), counts(1.0, "shop", valued=2, value_sum=0.5)]
    table.apply(1, item_features("m", counts=rows))
    gathered = table.gather(np.array([[1]]), np.array([VIDEO]), np.array([NOW]), np.zeros((1, 1), np.int64))
    assert gathered.total[0, 0] == 2
    assert table.mean_ratings(np.array([1]))[0] == pytest.approx((1.5 + 5 * table.mean_rating) / 8)


def test_age_is_in_days_and_0_if_unknown_or_in_the_future() -> None:
    born_at = np.array([[NOW - DAY, 0, NOW + DAY]])
    gathered = _counts(1.0).gather(np.array([[1, 1, 2]]), np.array([VIDEO]), np.array([NOW]), born_at)
    assert gathered.age_days[0].tolist() == [1.0, 0.0, 0.0]


def test_popular_order_ends_with_items_without_interactions() -> None:
    table = _counts(2.0, 0.0, 5.0)
    assert table.popular(VIDEO, _all(4)).tolist() == [3, 1, 2]
    assert table.trending(VIDEO, _all(4)).tolist() == [3, 1]


def test_trending_prefers_recent_interactions() -> None:
    table = ItemCountTable(scenarios())
    table.apply(1, item_features("old", acted=50.0, as_of=NOW - 60 * DAY))
    table.apply(2, item_features("new", acted=2.0, as_of=NOW - HOUR))
    assert table.trending(VIDEO, _all(3)).tolist() == [2, 1]
    assert table.popular(VIDEO, _all(3)).tolist() == [1, 2]


def test_fresh_order_is_newest_first_without_items_of_unknown_age() -> None:
    table = ItemCountTable(scenarios())
    table.apply(1, item_features("a", first_at=NOW - DAY))
    born_at = np.array([0, NOW - DAY, NOW, 0], np.int64)
    assert table.fresh(_all(4), born_at, born_at).tolist() == [2, 1]


def test_future_publications_take_no_position_of_a_present_one() -> None:
    table = ItemCountTable(scenarios())
    table.apply(1, item_features("a"))
    born_at = np.array([0, NOW - DAY, *(NOW + number * HOUR for number in range(1, 2 * ORDER_LENGTH))], np.int64)
    order = table.fresh(_all(len(born_at)), born_at, born_at)
    assert order[-3:].tolist() == [3, 2, 1]
    assert len(order) == ORDER_LENGTH + 1


def test_orders_are_cut_and_contain_eligible_rows_only() -> None:
    table = _counts(*np.arange(1.0, ORDER_LENGTH + 51).tolist())
    eligible = _all(ORDER_LENGTH + 51)
    eligible[-1] = False
    order = table.popular(VIDEO, eligible)
    assert len(order) == ORDER_LENGTH
    assert order[:2].tolist() == [ORDER_LENGTH + 49, ORDER_LENGTH + 48]


def test_older_record_is_not_current() -> None:
    table = ItemCountTable(scenarios())
    table.apply(1, item_features("m", applied_offsets={"0": 5, "1": 2}))
    assert not table.is_current(1, item_features("m", applied_offsets={"0": 5, "1": 1}))
    assert table.is_current(1, item_features("m", applied_offsets={"0": 5, "1": 2}))


def test_forgotten_row_has_no_counts() -> None:
    table = _counts(3.0)
    table.forget(1)
    assert table.trending(VIDEO, _all(2)).tolist() == []
    assert table.is_current(1, item_features("m", applied_offsets={"0": 0}))
