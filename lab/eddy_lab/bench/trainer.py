"""The trainer without Kafka: examples learned from per second, and what a release costs beside a full trace."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from eddy.contract.codec import Codec
from eddy.contract.model import FEATURES, Columns, hash_of_contract
from eddy.contract.records import History, LabelledItem, TrainingExample
from eddy.contract.scenarios import load_scenarios
from eddy.paths import SCENARIOS
from eddy_trainer.core.effort import MICRO_BATCH, Effort
from eddy_trainer.core.examples import Example, ExampleParser, NextItemExample
from eddy_trainer.core.graphs import GraphExporter
from eddy_trainer.core.learner import ItemContent, Learner, LearnerPolicy
from eddy_trainer.core.models import DEFAULT_MODEL
from eddy_trainer.core.parity import largest_difference, probe_of

ITEMS = 4000
USERS = 2000
ACTIVE_USERS = 40
CONSIDERED = 60
MAX_IMPRESSIONS = 10
EVENTS = 10 * MICRO_BATCH


def run() -> dict[str, float]:
    """Figures by name, the unit at the end. An event is a next-item example with its considered list and one example of labels."""
    torch.set_num_threads(1)
    scenarios = load_scenarios(SCENARIOS)
    payloads = [Codec.of(TrainingExample).encode(record) for record in _records()]
    parser, codec = ExampleParser(scenarios, Columns()), Codec.of(TrainingExample)
    examples, decode_sec = _timed(lambda: [parser.parse(codec.decode(payload)) for payload in payloads])
    learner = Learner(scenarios, LearnerPolicy())
    learner.admit(
        [ItemContent(f"m{item}", [f"c{item % 18}"], {"year": str(1950 + item % 50)}) for item in range(ITEMS)]
    )
    half = len(examples) // 2
    replayed = _learn(learner, examples[:half], Effort.FULL)
    shed = _learn(learner, examples[half:], Effort.NO_REHEARSAL)
    exporter, trace_sec = _timed(lambda: GraphExporter.trace(DEFAULT_MODEL, Columns()))
    weights = learner.snapshot()
    graphs, swap_sec = _best(lambda: exporter.export(weights))
    _, parity_sec = _best(lambda: largest_difference(graphs, weights, probe_of(learner, weights)))
    return {
        "decode_examples_per_s": len(examples) / decode_sec,
        "learn_examples_per_s": half / replayed,
        "learn_without_replay_examples_per_s": half / shed,
        "learn_events_per_s": _events(examples[:half]) / replayed,
        "release_swap_ms": 1000 * swap_sec,
        "release_parity_ms": 1000 * parity_sec,
        "release_trace_ms": 1000 * trace_sec,
        "release_mib": (len(graphs.encode) + len(graphs.rank)) / 2**20,
    }


def _learn(learner: Learner, examples: list[Example], effort: Effort) -> float:
    """Seconds to learn from the examples in micro-batches."""
    started = time.perf_counter()
    for start in range(0, len(examples), 2 * MICRO_BATCH):
        learner.observe(examples[start : start + 2 * MICRO_BATCH])
        learner.step(effort)
    return time.perf_counter() - started


def _records() -> list[TrainingExample]:
    """Users who come, act in bursts and go; popular items more than others."""
    random = np.random.default_rng(0)
    weights = 1 / np.arange(1, ITEMS + 1)
    items = random.choice(ITEMS, EVENTS, p=weights / weights.sum())
    records: list[TrainingExample] = []
    for event, item in enumerate(items.tolist()):
        user = (event // MICRO_BATCH * ACTIVE_USERS // 4 + int(random.integers(ACTIVE_USERS))) % USERS
        considered = [f"m{one}" for one in {item, *random.integers(0, ITEMS, CONSIDERED - 1).tolist()}]
        target = _item(f"m{item}", 1)
        shown = [
            _item(one, int(place == event % MAX_IMPRESSIONS), place)
            for place, one in enumerate(considered[:MAX_IMPRESSIONS])
        ]
        records.append(_example("next_item", [target], considered, random, user, event))
        records.append(_example("label", shown, [], random, user, event))
    return records


def _item(item_id: str, label: int, position: int = -1) -> LabelledItem:
    action = "click" if label else ""
    return {"item_id": item_id, "position": position, "propensity": 1.0, "label": label, "action": action, "value": 0.5}


def _example(
    kind: str, items: list[LabelledItem], considered: list[str], random: np.random.Generator, user: int, event: int
) -> TrainingExample:
    def packed(rows: int) -> bytes:
        return random.normal(size=(rows, len(FEATURES))).astype("<f2").tobytes()

    history: History = {
        "item_ids": [f"m{item}" for item in range(50)],
        "actions": ["click"] * 50,
        "scenarios": ["video"] * 50,
        "values": [0.5] * 50,
        "occurred_at": list(range(0, 50_000, 1000)),
        "valued": [False] * 50,
    }
    return {
        "example_id": f"e{event}/{kind}",
        "kind": kind,
        "user_id": f"u{user}",
        "scenario": "video",
        "request_id": None,
        "event_id": f"e{event}",
        "items": items,
        "features": packed(len(items)) if kind == "label" else b"",
        "considered": considered,
        "considered_features": packed(len(considered)) if considered else b"",
        "feature_names": list(FEATURES),
        "history": history,
        "occurred_at": 1000 * event,
        "shown_at": None,
        "labelled_at": 0,
        "model_version": 1,
        "contract": hash_of_contract(),
        "superseded": False,
        "acted_at": None,
    }


def _events(examples: list[Example]) -> int:
    return sum(isinstance(example, NextItemExample) for example in examples)


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def _best(work: Callable[[], Any], times: int = 10) -> tuple[Any, float]:
    """The result and the shortest of several runs: what it costs when nobody else is there."""
    runs = [_timed(work) for _ in range(times)]
    return runs[-1][0], min(seconds for _, seconds in runs)
