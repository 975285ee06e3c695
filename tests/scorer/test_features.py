"""Ranking features against their definitions."""

from math import log, log1p

import numpy as np
import pytest

from services.scorer.features import PRIOR_COUNT, PRIOR_MOVES, ranks
from services.scorer.recommender import Recommender
from shared.model_contract import FEATURES
from tests.scorer.factories import (
    DAY,
    HOUR,
    NOW,
    counts,
    features_of,
    history,
    item,
    item_features,
    recommend,
    recommender,
    request,
    user_features,
)


def _engine() -> Recommender:
    """Three items: `a` before `b`, `c` on its own; user u had a."""
    engine = recommender()
    engine.apply_item(item("a", categories=["drama"]))
    engine.apply_item(item("b", categories=["drama", "war"]))
    engine.apply_item(item("c", categories=["comedy"], published_at=NOW - 7 * DAY))
    row = counts(6.0, shown=40.0, clicked=4.0, acted_fast=2.0)
    engine.apply_item_features(item_features("a"))
    engine.apply_item_features(item_features("b", {"a": 8.0}, counts=[row], first_at=NOW - 2 * DAY))
    engine.apply_user_features(user_features("u", history=history(["a"], value=0.5)))
    return engine


def _features(engine: Recommender, name: str, user: str = "u", at: int = NOW) -> dict[str, float]:
    return features_of(recommend(engine, request(user, requested_at=at))[0], name)


def test_every_feature_is_finite_and_float16() -> None:
    found = _features(_engine(), "b")
    assert set(found) == set(FEATURES)
    assert all(np.isfinite(value) for value in found.values())


def test_popularity_features() -> None:
    found = _features(_engine(), "b")
    assert found["popularity"] == pytest.approx(log1p(6), rel=1e-3)
    assert found["trend"] == pytest.approx(log1p(2), rel=1e-3)
    assert found["velocity"] == pytest.approx(log((2 + PRIOR_COUNT) / (6 + PRIOR_COUNT)), rel=1e-3)
    assert found["shown"] == pytest.approx(log1p(40), rel=1e-3)
    assert found["click_share"] == pytest.approx(log((4 + 1) / (36 + 19)), rel=1e-3)
    assert found["total"] == pytest.approx(log1p(6), rel=1e-3)
    assert found["is_new"] == 0.0
    assert found["item_age"] == pytest.approx(log1p(2), rel=1e-3)


def test_item_nobody_acted_on_is_new_and_its_age_is_from_publication() -> None:
    found = _features(_engine(), "c")
    assert found["is_new"] == 1.0
    assert found["item_age"] == pytest.approx(log1p(7), rel=1e-3)
    assert found["popularity"] == found["total"] == 0.0


def test_everything_decays_at_the_time_of_the_request() -> None:
    later = _features(_engine(), "b", at=NOW + 24 * HOUR)
    assert later["trend"] == pytest.approx(log1p(1), rel=1e-3)
    assert later["history_gap"] == pytest.approx(log1p(24 * 3600 + 1), rel=1e-3)
    assert later["covisit_score"] < _features(_engine(), "b")["covisit_score"]


def test_transition_is_a_smoothed_share_of_what_followed() -> None:
    found = _features(_engine(), "b")
    usual = (6 + PRIOR_COUNT) / (7 + 4 * PRIOR_COUNT)
    share = (4 + PRIOR_MOVES * usual) / (4 + PRIOR_MOVES)
    assert found["transition_last_1"] == pytest.approx(log(share / (1 - share)), rel=2e-3)
    assert found["transition_rank"] == 0.0
    other = _features(_engine(), "c")
    assert other["transition_last_1"] < found["transition_last_1"]
    assert other["transition_rank"] == pytest.approx(log1p(1), rel=1e-3)


def test_content_match_is_the_cosine_of_categories() -> None:
    found = _features(_engine(), "b")
    assert found["content_match"] == pytest.approx(2**-0.5, rel=1e-3)
    assert found["last_content_match"] == pytest.approx(2**-0.5, rel=1e-3)
    assert _features(_engine(), "c")["content_match"] == 0.0


def test_content_match_looks_at_the_whole_history() -> None:
    engine = _engine()
    engine.apply_user_features(user_features("u", history=history(["c", "a"]), applied_offset=9))
    (found,) = recommend(engine, request("u", scenario="shop", candidates=("a", "c")))
    assert features_of(found, "a")["content_match"] == pytest.approx(2**-0.5, rel=1e-3)
    assert features_of(found, "a")["last_content_match"] == 1.0
    assert features_of(found, "c")["last_content_match"] == 0.0


def test_history_features() -> None:
    found = _features(_engine(), "b")
    assert found["history_length"] == pytest.approx(log1p(1), rel=1e-3)
    assert found["history_value"] == found["last_value"] == 0.5
    assert found["history_gap"] == pytest.approx(log1p(1), rel=1e-3)
    nobody = _features(_engine(), "b", user="nobody")
    assert [nobody[name] for name in ("history_length", "history_value", "last_value", "history_gap")] == [0.0] * 4


def test_ranks_are_log_places_best_first() -> None:
    found = ranks(np.array([[1.0, 3.0, 2.0, -np.inf]], np.float32))
    assert found[0].tolist() == pytest.approx([log1p(2), log1p(0), log1p(1), log1p(3)])
