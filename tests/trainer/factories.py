"""Examples and learners for the tests of the trainer."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from eddy.contract.model import ACTIONS, FEATURES, hash_of_contract
from eddy.contract.scenarios import load_scenarios
from eddy.paths import REPO_ROOT
from eddy_trainer.core.budgets import UNBOUNDED
from eddy_trainer.core.encoder_training import EncoderPolicy
from eddy_trainer.core.examples import ImpressionExample, NextItemExample, PastInteraction
from eddy_trainer.core.learner import ItemContent, Learner, LearnerPolicy
from eddy_trainer.core.ranker_training import RankerPolicy
from eddy_trainer.core.sequences import SequenceEntry, SequenceStore

Record = dict[str, Any]

SCENARIOS = load_scenarios(REPO_ROOT / "scenarios.yaml")
VIDEO = SCENARIOS["video"].id
CLICK = ACTIONS.index("click")
NO_FEATURES = np.zeros((0, len(FEATURES)), np.float16)


def features(rows: int, seed: int = 0) -> "np.ndarray[Any, np.dtype[np.float16]]":
    return np.random.default_rng(seed).normal(size=(rows, len(FEATURES))).astype(np.float16)


def next_item(user: str, item: str, at: int = 0, target: int = -1, candidates: Any = NO_FEATURES) -> NextItemExample:
    """Return a click of `user` on `item` at `at` milliseconds."""
    return NextItemExample(user, PastInteraction(item, 1 + CLICK, VIDEO, 0.5, at), (), candidates, target)


def impressions(rows: int, positive: int = -1, seed: int = 0) -> ImpressionExample:
    """Return the labels of a slate of `rows` items, of which one was clicked, or none."""
    actions = tuple(CLICK if row == positive else -1 for row in range(rows))
    return ImpressionExample("label", VIDEO, features(rows, seed), tuple(range(rows)), actions)


def learner(items: int = 30, seed: int = 0, **encoder: Any) -> Learner:
    """Return a learner with `items` items, named i0, i1, ..., and without warm-up. It is taught everything, unless `budgets` are given."""
    policy = EncoderPolicy(**{"budgets": UNBOUNDED, **encoder})
    made = Learner(SCENARIOS, LearnerPolicy(seed, encoder=policy, ranker=RankerPolicy(warm_up_candidate_sets=1)))
    made.admit([ItemContent(f"i{number}", [f"c{number % 3}"]) for number in range(items)])
    return made


def invert_ranker(learner: Learner) -> None:
    """Invert the scores of the ranker."""
    with torch.no_grad():
        for weights in (learner.ranker.ranker.additive, learner.ranker.ranker.score, learner.ranker.ranker.heads):
            weights.neg_()


def a_stream(events: int, users: int = 20, items: int = 30, seed: int = 0) -> list[NextItemExample | ImpressionExample]:
    """Return events of users who go through the items in order from different starts, with candidates and labels."""
    random = np.random.default_rng(seed)
    made: list[NextItemExample | ImpressionExample] = []
    for event in range(events):
        user = int(random.integers(users))
        item = f"i{(event + user) % items}"
        made.append(next_item(f"u{user}", item, event * 1000, 2, features(6, event)))
        made.append(impressions(5, int(random.integers(5)), event))
    return made


def easy_examples(step: int) -> list[NextItemExample | ImpressionExample]:
    """Return examples in which the first candidate is always chosen and the first impression always clicked."""
    made: list[NextItemExample | ImpressionExample] = []
    for number in range(20):
        seed = 1000 * step + number
        best = np.sort(features(6, seed), axis=0)[::-1]
        made.append(next_item(f"u{number}", f"i{number % 30}", step, 0, best))
        made.append(replace(impressions(6, 0, seed), features=best))
    return made


def a_store(rows_of: dict[str, list[int]], max_users: int = 100) -> SequenceStore:
    """Return sequences with the given rows, one second apart."""
    store = SequenceStore(max_users)
    for user, rows in rows_of.items():
        store.append(user, [SequenceEntry(row, 1, VIDEO, 0.5, 1000 * index) for index, row in enumerate(rows)])
    return store


def example_record(kind: str = "next_item", items: Any = 1, candidates: Any = 3, **changes: Any) -> Record:
    """Return a `training_example` with positive item m0 and candidates m0, m1, ...; both are given as numbers or as lists."""
    candidate_ids = [f"m{index}" for index in range(candidates)] if isinstance(candidates, int) else candidates
    record: Record = {
        "example_id": "e-1/next",
        "kind": kind,
        "user_id": "u-1",
        "scenario": "video",
        "request_id": None,
        "event_id": "e-1",
        "items": [
            {
                "item_id": f"m{position}",
                "position": position if kind != "next_item" else -1,
                "propensity": 0.0,
                "label": int(position == 0),
                "action": "click" if position == 0 else "",
                "value": 0.5,
            }
            for position in range(items)
        ]
        if isinstance(items, int)
        else items,
        "features": b"" if kind == "next_item" or not isinstance(items, int) else features(items).tobytes(),
        "considered": candidate_ids if kind == "next_item" else [],
        "considered_features": features(len(candidate_ids)).tobytes() if kind == "next_item" else b"",
        "feature_names": list(FEATURES),
        "history": None,
        "occurred_at": 978_302_109_000,
        "shown_at": None,
        "labelled_at": 0,
        "model_version": 0,
        "contract": hash_of_contract(),
        "superseded": False,
        "acted_at": None,
    }
    return {**record, **changes}


def item_record(item_id: str, **changes: Any) -> Record:
    record: Record = {
        "item_id": item_id,
        "scenarios": [],
        "title": item_id,
        "text": None,
        "categories": ["Drama"],
        "attributes": {"year": "1995"},
        "available": True,
        "published_at": None,
    }
    return {**record, **changes}
