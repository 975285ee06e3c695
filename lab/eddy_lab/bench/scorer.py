"""Benchmark of the scorer: users per second and latency of complete slates, compared with the bare ONNX calls on the same inputs.

All stages run in one thread without Kafka: gather, encode, sources, features, rank, policy and the record. Times are processor time of the
thread, so that other load on the machine has little influence.
"""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from eddy.contract.codec import Codec
from eddy.contract.digests import SEEN_ENTRY, digest_of
from eddy.contract.model import DIM, FEATURES, Columns
from eddy.contract.records import Item, ItemCounts, ItemFeatures, Recommendations, UserFeatures
from eddy.contract.scenarios import load_scenarios
from eddy.paths import SCENARIOS
from eddy_scorer.core.model.graphs import OnnxModel
from eddy_scorer.core.ranking.recommender import Recommender
from eddy_scorer.core.ranking.request import Request
from eddy_scorer.core.state.arrays import F32
from eddy_trainer.core.graphs import GraphExporter
from eddy_trainer.core.learner import Weights
from eddy_trainer.core.models import DEFAULT_MODEL, MODELS

SIZES = (1_700, 20_000, 200_000)
USERS = 1_000
BATCH = 64
HISTORY = 100
SEEN = 50
LIMIT = 20
NOW = 978_300_000_000

# Neighbours per item: fewer in a larger catalogue, as in real data.
NEIGHBOURS = {1_700: 150, 20_000: 60, 200_000: 20}


@dataclass(frozen=True)
class Timing:
    """Processor time of each call, in seconds."""

    calls_sec: list[float]

    @property
    def mean_sec(self) -> float:
        return sum(self.calls_sec) / len(self.calls_sec)


def run() -> dict[str, float]:
    """Users per second and milliseconds per request for each catalogue size."""
    torch.set_num_threads(1)
    model = _model()
    figures: dict[str, float] = {}
    for size in SIZES:
        figures |= {f"{name} at {size:,} items": value for name, value in _measure(size, model).items()}
    return figures


def _measure(size: int, model: OnnxModel) -> dict[str, float]:
    engine = _engine(size, model)
    gc.collect()
    gc.freeze()
    requests = [_request(number) for number in range(USERS)]
    batches = [requests[start : start + BATCH] for start in range(0, USERS - BATCH, BATCH)]
    batched = _time(lambda number: engine.recommend(batches[number % len(batches)], NOW), 30)
    single = _time(lambda number: engine.recommend([requests[number]], NOW), 400)
    bare_batch, bare_one = (_time(_bare(engine, model, count), rounds) for count, rounds in ((BATCH, 30), (1, 400)))
    slates = engine.recommend(batches[0], NOW)
    codec = Codec.of(Recommendations)
    encoding = _time(lambda number: codec.encode(slates[number % BATCH]), 300)
    rebuild = _time(lambda _: engine.state.rebuild(), 1)
    gc.unfreeze()
    return {
        "full recommendation, batches of 64, users/s": BATCH / batched.mean_sec,
        "bare encode + rank, batches of 64, users/s": BATCH / bare_batch.mean_sec,
        "full recommendation, one, p50 ms": 1000 * _percentile(single, 50),
        "full recommendation, one, p99 ms": 1000 * _percentile(single, 99),
        "bare encode + rank, one, p50 ms": 1000 * _percentile(bare_one, 50),
        "bare encode + rank, one, p99 ms": 1000 * _percentile(bare_one, 99),
        "Avro encoding of a slate, us": 1e6 * encoding.mean_sec,
        "rebuild of orders and co-visitation, ms": 1000 * rebuild.mean_sec,
    }


def _time(call: Callable[[int], object], rounds: int) -> Timing:
    call(0)
    calls_sec = []
    for number in range(rounds):
        started = time.thread_time()
        call(number)
        calls_sec.append(time.thread_time() - started)
    return Timing(calls_sec)


def _percentile(timing: Timing, percent: float) -> float:
    return float(np.percentile(timing.calls_sec, percent))


def _bare(engine: Recommender, model: OnnxModel, count: int) -> Callable[[int], object]:
    """A call of both graphs with inputs of the same shapes as the scorer's."""
    state = engine.state
    table, bias = state.table.view(len(state.catalogue), 0)
    at = np.full(count, NOW, np.int64)
    histories = state.users.gather([state.users.get(f"u{number}") for number in range(count)], at)
    scenarios = np.zeros(count, np.int64)
    excluded = np.random.default_rng(0).integers(1, len(state.catalogue), (count, HISTORY + SEEN))
    features = np.zeros((count, 61, len(FEATURES)), np.float32)

    def call(_: int) -> None:
        model.encode(table, bias, histories, scenarios, excluded)
        model.rank(features, scenarios)

    return call


def _model() -> OnnxModel:
    torch.manual_seed(0)
    kinds, columns = MODELS[DEFAULT_MODEL], Columns()
    weights = Weights(
        DEFAULT_MODEL,
        columns,
        kinds.encoder(columns).state_dict(),
        kinds.ranker(columns).state_dict(),
        [""],
        np.zeros((1, DIM), np.float32),
    )
    graphs = GraphExporter.trace(DEFAULT_MODEL, columns).export(weights)
    return OnnxModel(1, graphs.encode, graphs.rank)


def _engine(size: int, model: OnnxModel) -> Recommender:
    """A recommender with Zipf-like popularity, users with long histories, and an untrained model."""
    engine = Recommender(load_scenarios(SCENARIOS), np.random.default_rng(0))
    rng = np.random.default_rng(1)
    popularity = 1 / np.arange(1, size + 1) ** 0.7
    popularity /= popularity.sum()
    names = [f"item-{number}" for number in range(size)]
    neighbours = rng.choice(size, (size, NEIGHBOURS[size]), p=popularity)
    for number, name in enumerate(names):
        engine.apply_item(_item(name, number))
        interactions = float(popularity[number] * size * 30)
        engine.apply_item_features(_item_features(name, interactions, [names[other] for other in neighbours[number]]))
    for number in range(USERS):
        engine.apply_user_features(
            _user(number, [names[item] for item in rng.choice(size, HISTORY + SEEN, p=popularity)])
        )
    vectors: F32 = rng.standard_normal((size, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    engine.set_embeddings(names, vectors, np.zeros(size, np.float32))
    engine.model = model
    engine.state.rebuild()
    return engine


def _item(name: str, number: int) -> Item:
    categories = [f"c{number % 18}", f"c{number * 7 % 18}"]
    return {
        "item_id": name,
        "scenarios": [],
        "title": f"Item {number}",
        "text": None,
        "attributes": {},
        "categories": categories,
        "available": True,
        "published_at": None,
    }


def _item_features(name: str, interactions: float, neighbours: list[str]) -> ItemFeatures:
    counts: ItemCounts = {
        "scenario": "video",
        "shown": 2 * interactions,
        "clicked": interactions,
        "acted": interactions,
        "acted_fast": interactions / 9,
        "total": int(interactions),
        "valued": int(interactions),
        "value_sum": 0.6 * int(interactions),
        "newcomers": 0.2 * interactions,
        "acted_hour": 0.0,
        "newcomers_hour": 0.0,
    }
    return {
        "item_id": name,
        "applied_offsets": {"0": 1},
        "as_of": NOW,
        "first_at": NOW,
        "counts": [counts],
        "covisited": neighbours,
        "covisit_weights": [1.0] * len(neighbours),
        "transition_weights": [float(index % 5 == 0) for index in range(len(neighbours))],
    }


def _user(number: int, items: list[str]) -> UserFeatures:
    recent = items[:HISTORY]
    return {
        "user_id": f"u{number}",
        "applied_offset": 1,
        "as_of": NOW,
        "history": {
            "item_ids": recent,
            "actions": ["rate"] * len(recent),
            "scenarios": ["video"] * len(recent),
            "values": [0.5] * len(recent),
            "occurred_at": [NOW - 60_000 * distance for distance in range(len(recent), 0, -1)],
            "valued": [True] * len(recent),
        },
        "offsets": [1] * len(recent),
        "seen": b"",
        "counts": {},
        "recent_events": b"",
        "rejected_items": b"",
        "age_start": 0,
        "seen_items": b"".join(SEEN_ENTRY.pack(digest_of(item), NOW // 1000, 1.0) for item in items),
        "ratings": b"",
        "shown": b"",
        "log_id": b"",
    }


def _request(number: int) -> Request:
    return Request(f"r{number}", f"u{number}", "video", LIMIT, NOW + 1000)
