"""A random catalogue, its users and their requests, all from one seed. The golden slates were recorded with it."""

from collections.abc import Iterator, Sequence

import numpy as np

from eddy.contract.codec import Record
from eddy.contract.model import DIM
from eddy_scorer.core.model.graphs import OnnxModel
from eddy_scorer.core.ranking.recommender import Recommender
from eddy_scorer.core.ranking.request import Request
from tests.scorer.factories import (
    DAY,
    HOUR,
    NOW,
    counts,
    history,
    item,
    item_features,
    recommender,
    request,
    seen_items,
    user_features,
)
from tests.scorer.graphs import encode_graph, rank_graph

ITEMS = 300
USERS = 40
GENRES = ("war", "drama", "comedy", "musical", "crime", "space")
SCENARIOS = ("video", "shop", "social")
_WEIGHTS = {"encoder_score": 1.0, "covisit_score": 0.5, "popularity": 0.1, "category_rating": 1.0}


class World:
    """Generates records in a fixed order, so that the same seed of PCG64 gives the same world."""

    def __init__(self, seed: int = 7) -> None:
        self._rng = np.random.default_rng(seed)

    def engine(self) -> Recommender:
        """A recommender with all items, counts and users, embeddings of two thirds of the items, and no model."""
        engine = recommender(seed=3, published_only=False)
        for number in range(ITEMS):
            self._add_item(engine, number)
        for number in range(USERS):
            engine.apply_user_features(self._user(number))
        names = [f"m{number}" for number in range(ITEMS) if number % 3]
        vectors = self._rng.standard_normal((len(names), DIM)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        engine.set_embeddings(names, vectors, (0.01 * self._rng.standard_normal(len(names))).astype(np.float32))
        engine.state.rebuild()
        return engine

    def batches(self) -> Iterator[list[Request]]:
        """Batches of 1 to 12 requests, some with a query, candidates or excluded items."""
        for size in (12, 1, 7):
            yield [self._request() for _ in range(size)]

    def _add_item(self, engine: Recommender, number: int) -> None:
        rng = self._rng
        name = f"m{number}"
        if number % 11:  # the others were never published
            genres = rng.choice(GENRES, rng.integers(0, 4), replace=False).tolist()
            scenarios = [] if number % 7 else ["shop"]
            published_at = None if number % 5 else NOW - int(rng.integers(0, 90)) * DAY
            title = f"{' '.join(genres)} {number % 17}"
            record = item(name, title=title, categories=genres, scenarios=scenarios, published_at=published_at)
            engine.apply_item({**record, "available": bool(number % 13)})
        if number % 9:  # the others are new
            neighbours = rng.choice(ITEMS, rng.integers(0, 25), replace=False).tolist()
            edges = {f"m{other}": float(rng.exponential(3.0)) for other in neighbours}
            counted = [self._counts(scenario) for scenario in SCENARIOS[: rng.integers(1, 4)]]
            as_of = NOW - int(rng.integers(0, 20)) * HOUR
            engine.apply_item_features(
                item_features(name, edges, counts=counted, as_of=as_of, first_at=as_of - int(rng.integers(0, 60)) * DAY)
            )

    def _counts(self, scenario: str) -> Record:
        acted, share = float(self._rng.exponential(30.0)), float(self._rng.random())
        valued = int(acted)
        return counts(
            acted,
            scenario,
            shown=acted * 3,
            clicked=acted * share,
            acted_fast=acted * share / 4,
            valued=valued,
            value_sum=valued * share,
        )

    def _user(self, number: int) -> Record:
        rng = self._rng
        chosen = [f"m{other}" for other in rng.choice(ITEMS, rng.integers(0, 60) if number % 8 else 0, replace=False)]
        columns = history(chosen, SCENARIOS[number % 3], ("rate", "like", "click")[number % 3])
        columns["values"] = np.round(rng.random(len(chosen)), 3).tolist()
        return user_features(
            f"u{number}", history=columns, seen_items=seen_items(*columns["item_ids"], *chosen[:5], f"m{number}")
        )

    def _request(self) -> Request:
        rng = self._rng
        kind = int(rng.integers(0, 6))
        at = NOW + int(rng.integers(-2, 48)) * HOUR
        query = str(rng.choice(GENRES)) if kind == 0 else None
        given = self._names(12, "unheard-of") if kind == 1 else None
        exclude = tuple(self._names(8)) if kind == 2 else ()
        return request(
            f"u{rng.integers(0, USERS)}",
            scenario=SCENARIOS[int(rng.integers(0, 3))],
            limit=int(rng.integers(1, 30)),
            requested_at=at,
            query=query,
            candidates=given,
            exclude=exclude,
        )

    def _names(self, count: int, *more: str) -> tuple[str, ...]:
        return (*(f"m{number}" for number in self._rng.choice(ITEMS, count, replace=False)), *more)


def slates() -> list[Record]:
    """The slates of the world's requests: without a model, with a model, and with items added since the last rebuild."""
    world = World()
    engine = world.engine()
    answered: list[Record] = []
    for batch in world.batches():
        answered += engine.recommend(batch, NOW)
    engine.model = OnnxModel(3, encode_graph(1), rank_graph(_WEIGHTS, constant=0.25))
    for batch in world.batches():
        answered += engine.recommend(batch, NOW)
    _add_late(engine)
    for batch in world.batches():
        answered += engine.recommend(batch, NOW)
    return answered


def _add_late(engine: Recommender) -> None:
    late: Sequence[str] = [f"late{number}" for number in range(20)]
    for number, name in enumerate(late):
        engine.apply_item(item(name, categories=[GENRES[number % 6]], published_at=NOW - HOUR))
        engine.apply_item_features(item_features(name, {"m1": 2.0}, acted=float(number)))
    for number in range(0, USERS, 4):
        engine.apply_user_features(user_features(f"u{number}", [*late[number % 20 :], "m4", "m5"], applied_offset=99))
