"""Coverage and inequality of what lists hold."""

import numpy as np
import pytest

from eddy_scorer.core.state.exposure import POSITIONS, Exposure
from tests.scorer.factories import item, recommend, recommender, request, scenarios

VIDEO, SHOP = (scenarios()[name].id for name in ("video", "shop"))


def test_items_that_are_listed_alike_are_all_covered_and_equal() -> None:
    known = Exposure()
    known.record(VIDEO, np.arange(1, 5))
    assert known.coverage_and_gini(VIDEO, np.arange(1, 5)) == pytest.approx((1.0, 0.0))
    assert known.coverage_and_gini(VIDEO, np.arange(1, 9)) == pytest.approx((0.5, 0.5))
    assert known.coverage_and_gini(SHOP, np.arange(1, 5)) == (0.0, 0.0)


def test_one_item_in_all_lists_is_as_unequal_as_can_be() -> None:
    known = Exposure()
    for _ in range(10):
        known.record(VIDEO, np.array([700]))
    assert known.coverage_and_gini(VIDEO, np.array([1, 2, 3, 700])) == pytest.approx((0.25, 0.75))


def test_what_was_listed_long_ago_is_forgotten() -> None:
    known = Exposure()
    known.record(VIDEO, np.array([1]))
    for _ in range(2 * POSITIONS // 1000):
        known.record(VIDEO, np.full(1000, 2))
        known.record(SHOP, np.array([3]))
    assert known.coverage_and_gini(VIDEO, np.array([1, 2]))[0] == 0.5
    assert known.coverage_and_gini(SHOP, np.array([3]))[0] == 1.0


def test_lists_that_go_out_are_counted() -> None:
    engine = recommender()
    for number in range(30):
        engine.apply_item(item(f"m{number}"))
    engine.state.rebuild()
    assert engine.state.exposures()["video"] == (0.0, 0.0)
    (record,) = recommend(engine, request("u", limit=6))
    coverage, gini = engine.state.exposures()["video"]
    assert coverage == len(record["items"]) / 30
    assert 0 < gini < 1
    assert engine.state.exposures()["shop"] == (0.0, 0.0)
