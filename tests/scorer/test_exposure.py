"""Coverage of the catalogue and inequality of exposure."""

import numpy as np
import pytest

from eddy_scorer.core.state.exposure import POSITIONS, Exposure
from tests.scorer.factories import item, recommend, recommender, request, scenarios

VIDEO, SHOP = (scenarios()[name].id for name in ("video", "shop"))


def test_equally_recommended_items_have_full_coverage_and_no_inequality() -> None:
    exposure = Exposure()
    exposure.record(VIDEO, np.arange(1, 5))
    assert exposure.coverage_and_gini(VIDEO, np.arange(1, 5)) == pytest.approx((1.0, 0.0))
    assert exposure.coverage_and_gini(VIDEO, np.arange(1, 9)) == pytest.approx((0.5, 0.5))
    assert exposure.coverage_and_gini(SHOP, np.arange(1, 5)) == (0.0, 0.0)


def test_one_item_in_all_slates_has_the_largest_inequality() -> None:
    exposure = Exposure()
    for _ in range(10):
        exposure.record(VIDEO, np.array([700]))
    assert exposure.coverage_and_gini(VIDEO, np.array([1, 2, 3, 700])) == pytest.approx((0.25, 0.75))


def test_old_slates_are_forgotten() -> None:
    exposure = Exposure()
    exposure.record(VIDEO, np.array([1]))
    for _ in range(2 * POSITIONS // 1000):
        exposure.record(VIDEO, np.full(1000, 2))
        exposure.record(SHOP, np.array([3]))
    assert exposure.coverage_and_gini(VIDEO, np.array([1, 2]))[0] == 0.5
    assert exposure.coverage_and_gini(SHOP, np.array([3]))[0] == 1.0


def test_served_slates_are_counted() -> None:
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


def test_the_most_recommended_item_is_named_and_only_recent_slates_count() -> None:
    exposure = Exposure()
    assert exposure.top(VIDEO) == (0, 0.0)
    for slate in range(2000):
        exposure.record(VIDEO, np.array([5, 10 + slate % 100]))
    assert exposure.top(VIDEO) == (5, pytest.approx(1.0))
    for slate in range(2000):
        exposure.record(VIDEO, np.array([7, 10 + slate % 100]))
    row, share = exposure.top(VIDEO)
    assert (row, share > 0.9) == (7, True)
    assert exposure.top(SHOP) == (0, 0.0)
