"""Records and recommenders for the scorer's tests."""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from eddy.contract.codec import Record
from eddy.contract.digests import REJECTED_ENTRY, SEEN_ENTRY, digest_of
from eddy.contract.model import FEATURES
from eddy.contract.scenarios import Scenarios, load_scenarios
from eddy.paths import REPO_ROOT
from eddy_scorer.core.ranking.recommender import Recommender
from eddy_scorer.core.ranking.request import Request

NOW = 1_000_000_000_000
DAY = 86_400_000
HOUR = 3_600_000


def scenarios() -> Scenarios:
    return load_scenarios(REPO_ROOT / "scenarios.yaml")


def recommender(seed: int = 0, published_only: bool = True) -> Recommender:
    """`published_only` is that of all scenarios."""
    every = scenarios()
    changed = {
        name: scenario.model_copy(update={"published_only": published_only})
        for name, scenario in every.scenarios.items()
    }
    return Recommender(every.model_copy(update={"scenarios": changed}), np.random.default_rng(seed))


def item(item_id: str, **changes: Any) -> Record:
    return {
        "item_id": item_id,
        "scenarios": [],
        "title": "",
        "text": None,
        "categories": [],
        "attributes": {},
        "available": True,
        "published_at": None,
        **changes,
    }


def counts(acted: float, scenario: str = "video", **changes: Any) -> Record:
    return {
        "scenario": scenario,
        "shown": 0.0,
        "clicked": 0.0,
        "acted": acted,
        "acted_fast": acted,
        "total": int(acted),
        "valued": 0,
        "value_sum": 0.0,
        "newcomers": 0.0,
        "acted_hour": 0.0,
        "newcomers_hour": 0.0,
        **changes,
    }


def item_features(item_id: str, before: dict[str, float] | None = None, acted: float = 1.0, **changes: Any) -> Record:
    """`before` has the co-visitation weights of the items that users interacted with before; transition weights are half of them."""
    edges = before or {}
    return {
        "item_id": item_id,
        "applied_offsets": {"0": 1},
        "as_of": NOW,
        "first_at": NOW - DAY,
        "counts": [counts(acted)],
        "covisited": list(edges),
        "covisit_weights": list(edges.values()),
        "transition_weights": [weight / 2 for weight in edges.values()],
        **changes,
    }


def history(item_ids: Sequence[str], scenario: str = "video", action: str = "like", value: float = 1.0) -> Record:
    count = len(item_ids)
    return {
        "item_ids": list(item_ids),
        "actions": [action] * count,
        "scenarios": [scenario] * count,
        "values": [value] * count,
        "occurred_at": [NOW - (count - index) * 1000 for index in range(count)],
        "valued": [],
    }


def user_features(user_id: str, item_ids: Sequence[str] = (), **changes: Any) -> Record:
    return {
        "user_id": user_id,
        "applied_offset": len(item_ids),
        "as_of": NOW,
        "history": history(item_ids),
        "offsets": list(range(len(item_ids))),
        "seen": b"",
        "counts": {},
        "recent_events": b"",
        "seen_items": b"",
        "rejected_items": b"",
        "ratings": b"",
        "shown": b"",
        "log_id": b"",
        "age_start": 0,
        **changes,
    }


def hashes(*item_ids: str) -> bytes:
    return b"".join(zlib.crc32(item_id.encode()).to_bytes(4, "little") for item_id in item_ids)


def rejected_items(item_ids: dict[str, int]) -> bytes:
    """The field of a user who rejected these items at these times."""
    return b"".join(REJECTED_ENTRY.pack(digest_of(item_id), at) for item_id, at in item_ids.items())


def seen_items(*item_ids: str) -> bytes:
    """The record's table of all items that a user interacted with, those of the history among them."""
    return b"".join(SEEN_ENTRY.pack(digest_of(item_id), NOW // 1000, 1.0) for item_id in item_ids)


def request(user_id: str = "u", **changes: Any) -> Request:
    values: dict[str, Any] = {
        "request_id": "r",
        "user_id": user_id,
        "scenario": "video",
        "limit": 5,
        "requested_at": NOW,
        **changes,
    }
    return Request(**values)


def request_record(user_id: str = "u", **changes: Any) -> Record:
    return {
        "request_id": "r",
        "user_id": user_id,
        "scenario": "video",
        "limit": 5,
        "query": None,
        "candidates": None,
        "exclude": [],
        "after_offset": None,
        "deadline_at": None,
        "requested_at": NOW,
        **changes,
    }


def recommend(engine: Recommender, *requests: Request) -> list[Record]:
    """Slates from freshly rebuilt orders and matrices."""
    engine.state.rebuild()
    return engine.recommend(requests, served_at=1)


def item_ids_of(record: Record) -> list[str]:
    return [entry["item_id"] for entry in record["items"]]


def features_of(record: Record, item_id: str) -> dict[str, float]:
    """Logged features of a candidate, by name."""
    matrix = np.frombuffer(record["features"], "<f2").reshape(-1, len(FEATURES))
    values = matrix[record["considered"].index(item_id)].tolist()
    return dict(zip(FEATURES, values, strict=True))
