"""Ranking features, compared with their definitions."""

from math import log, log1p

import numpy as np
import pytest

from eddy.contract.model import DIM, FEATURES
from eddy_scorer.core.features.popularity import PRIOR_COUNT
from eddy_scorer.core.features.ratings import PRIOR_DEVIATION, PRIOR_RATINGS, PRIOR_SIMILARITY, PRIOR_SLOPE_BY_TOTAL
from eddy_scorer.core.features.transitions import PRIOR_TRANSITIONS
from eddy_scorer.core.ranking.recommender import Recommender
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
    """Three items: users interacted with `a` before `b`; `c` has no counts. User u interacted with `a`."""
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
    features = _features(_engine(), "b")
    assert set(features) == set(FEATURES)
    assert all(np.isfinite(value) for value in features.values())


def test_popularity_features() -> None:
    features = _features(_engine(), "b")
    assert features["popularity"] == pytest.approx(log1p(6), rel=1e-3)
    assert features["trend"] == pytest.approx(log1p(2), rel=1e-3)
    assert features["velocity"] == pytest.approx(log((2 + PRIOR_COUNT) / (6 + PRIOR_COUNT)), rel=1e-3)
    assert features["impressions"] == pytest.approx(log1p(40), rel=1e-3)
    assert features["click_share"] == pytest.approx(log((4 + 1) / (36 + 19)), rel=1e-3)
    assert features["total_interactions"] == pytest.approx(log1p(6), rel=1e-3)
    assert features["is_new"] == 0.0
    assert features["item_age"] == pytest.approx(log1p(2), rel=1e-3)


def test_item_without_interactions_is_new_and_ages_from_publication() -> None:
    features = _features(_engine(), "c")
    assert features["is_new"] == 1.0
    assert features["item_age"] == pytest.approx(log1p(7), rel=1e-3)
    assert features["popularity"] == features["total_interactions"] == 0.0


def test_features_decay_to_the_time_of_the_request() -> None:
    later = _features(_engine(), "b", at=NOW + 24 * HOUR)
    assert later["trend"] == pytest.approx(log1p(1), rel=1e-3)
    assert later["history_gap"] == pytest.approx(log1p(24 * 3600 + 1), rel=1e-3)
    assert later["covisit_score"] < _features(_engine(), "b")["covisit_score"]


def test_transition_is_a_smoothed_share_of_the_following_items() -> None:
    features = _features(_engine(), "b")
    usual = (6 + PRIOR_COUNT) / (7 + 4 * PRIOR_COUNT)
    share = (4 + PRIOR_TRANSITIONS * usual) / (4 + PRIOR_TRANSITIONS)
    assert features["transition_last_1"] == pytest.approx(log(share / (1 - share)), rel=2e-3)
    assert features["transition_rank"] == 0.0
    other = _features(_engine(), "c")
    assert other["transition_last_1"] < features["transition_last_1"]
    assert other["transition_rank"] == pytest.approx(log1p(1), rel=1e-3)


def test_content_match_is_the_cosine_of_categories() -> None:
    features = _features(_engine(), "b")
    assert features["content_match"] == pytest.approx(2**-0.5, rel=1e-3)
    assert features["last_content_match"] == pytest.approx(2**-0.5, rel=1e-3)
    assert _features(_engine(), "c")["content_match"] == 0.0


def test_content_match_uses_the_whole_history() -> None:
    engine = _engine()
    engine.apply_user_features(user_features("u", history=history(["c", "a"]), applied_offset=9))
    (features,) = recommend(engine, request("u", scenario="shop", candidates=("a", "c")))
    assert features_of(features, "a")["content_match"] == pytest.approx(2**-0.5, rel=1e-3)
    assert features_of(features, "a")["last_content_match"] == 1.0
    assert features_of(features, "c")["last_content_match"] == 0.0


def test_history_features() -> None:
    features = _features(_engine(), "b")
    assert features["history_length"] == pytest.approx(log1p(1), rel=1e-3)
    assert features["history_value"] == features["last_value"] == 0.5
    assert features["history_gap"] == pytest.approx(log1p(1), rel=1e-3)
    nobody = _features(_engine(), "b", user="nobody")
    assert [nobody[name] for name in ("history_length", "history_value", "last_value", "history_gap")] == [0.0] * 4


def _engine_with_ratings(values: dict[str, float]) -> Recommender:
    """Items of mean rating .5, of which u has rated those in `values`; `liked` and `hated` have different genres."""
    engine = recommender()
    for name, categories in (
        ("liked", ["war"]),
        ("hated", ["musical"]),
        ("as liked", ["war"]),
        ("as hated", ["musical"]),
    ):
        engine.apply_item(item(name, categories=categories))
        row = counts(9.0, valued=1_000_000, value_sum=500_000.0)
        engine.apply_item_features(item_features(name, counts=[row]))
    columns = history(list(values), action="rate")
    columns["values"] = list(values.values())
    engine.apply_user_features(user_features("u", history=columns))
    return engine


def test_item_value_is_the_mean_of_its_ratings() -> None:
    engine = recommender()
    for name, total in (("a", 90.0), ("b", 10.0)):
        engine.apply_item_features(item_features(name, counts=[counts(9.0, valued=100, value_sum=total)]))
    features = {name: _features(engine, name) for name in ("a", "b")}
    assert features["a"]["item_value"] == pytest.approx((90 + 5 * 0.5) / 105, rel=1e-3)
    assert features["b"]["item_value"] == pytest.approx((10 + 5 * 0.5) / 105, rel=1e-3)


def test_user_bias_is_the_mean_rating_above_that_of_others() -> None:
    features = _features(_engine_with_ratings({"liked": 1.0, "hated": 0.75}), "as liked")
    assert features["user_bias"] == pytest.approx((0.5 + 0.25) / (2 + PRIOR_RATINGS), rel=1e-3)
    centred = np.array([0.5, 0.25]) - 0.15
    spread = np.sqrt(((centred**2).sum() + PRIOR_RATINGS * PRIOR_DEVIATION**2) / (2 + PRIOR_RATINGS))
    assert features["user_rating_deviation"] == pytest.approx(spread, rel=2e-3)


def test_category_rating_separates_liked_from_disliked_categories() -> None:
    engine = _engine_with_ratings({"liked": 1.0, "hated": 0.0})
    liked, hated = (_features(engine, name)["category_rating"] for name in ("as liked", "as hated"))
    assert liked == pytest.approx(0.5 / (1 + PRIOR_SIMILARITY), rel=1e-3)
    assert hated == pytest.approx(-liked, rel=1e-3)


def test_neighbour_rating_separates_liked_from_disliked_neighbours() -> None:
    engine = _engine_with_ratings({"liked": 1.0, "hated": 0.0})
    vectors = np.zeros((4, DIM), np.float32)
    vectors[[0, 2], 0] = vectors[[1, 3], 1] = 1.0
    engine.set_embeddings(["liked", "hated", "as liked", "as hated"], vectors, np.zeros(4, np.float32))
    liked, hated = (_features(engine, name)["neighbour_rating"] for name in ("as liked", "as hated"))
    assert liked == pytest.approx(0.5 / (1 + PRIOR_SIMILARITY), rel=1e-3)
    assert hated == pytest.approx(-liked, rel=1e-3)


def test_quality_affinity_separates_users_who_agree_with_others() -> None:
    engine = recommender()
    for name, mean in (("good", 0.9), ("bad", 0.1), ("good too", 0.9)):
        row = counts(9.0, valued=1_000_000, value_sum=1_000_000 * mean)
        engine.apply_item_features(item_features(name, counts=[row]))
    for user, values in (("with", [1.0, 0.0]), ("against", [0.5, 0.5])):
        columns = history(["good", "bad"], action="rate")
        columns["values"] = values
        engine.apply_user_features(user_features(user, history=columns))
    feature = "quality_affinity"
    assert _features(engine, "good too", "with")[feature] > 0 > _features(engine, "good too", "against")[feature]


def test_popularity_affinity_separates_users_who_like_popular_items() -> None:
    engine = recommender()
    for name, total in (("hit", 10_000.0), ("rarity", 10.0), ("another hit", 10_000.0)):
        row = counts(total, valued=1_000_000, value_sum=500_000.0)
        engine.apply_item_features(item_features(name, counts=[row]))
    for user, values in (("with", [1.0, 0.0]), ("against", [0.0, 1.0])):
        columns = history(["hit", "rarity"], action="rate")
        columns["values"] = values
        engine.apply_user_features(user_features(user, history=columns))
    feature = "popularity_affinity"
    features = {user: _features(engine, "another hit", user)[feature] for user in ("with", "against")}
    half = (log1p(10_000) - log1p(10)) / 2
    assert features["with"] == pytest.approx(half * half / (2 * half**2 + PRIOR_SLOPE_BY_TOTAL), rel=2e-3)
    assert features["against"] == pytest.approx(-features["with"], rel=1e-3)


def test_quality_affinity_ignores_the_user_s_own_ratings() -> None:
    engine = recommender()
    own = {f"own{number}": float(number % 2) for number in range(20)}
    for name, value in own.items():
        engine.apply_item_features(item_features(name, counts=[counts(1.0, valued=1, value_sum=value)]))
    row = counts(9.0, valued=1_000_000, value_sum=900_000.0)
    engine.apply_item_features(item_features("good", counts=[row]))
    columns = history(list(own), action="rate")
    columns["values"] = list(own.values())
    engine.apply_user_features(user_features("u", history=columns))
    assert _features(engine, "good")["quality_affinity"] == pytest.approx(0.0, abs=1e-3)


def test_actions_without_a_value_are_no_ratings() -> None:
    engine = _engine_with_ratings({})
    engine.apply_user_features(user_features("v", ["liked", "hated"]))
    features = _features(engine, "as liked", "v")
    assert features["user_bias"] == features["category_rating"] == features["neighbour_rating"] == 0.0
    assert features["user_rating_deviation"] == pytest.approx(PRIOR_DEVIATION, rel=1e-3)
