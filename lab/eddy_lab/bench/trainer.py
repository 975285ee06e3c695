"""The trainer without Kafka: training examples per second, and the cost of a release compared with tracing anew."""

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
CANDIDATES = 60
SLATE = 10
EVENTS = 10 * MICRO_BATCH


def run() -> dict[str, float]:
    """Return figures by name; each ends with its unit. An event is a next-item example with its candidates, and an example of labels."""
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
    rehearsed = _learn(learner, examples[:half], Effort.FULL)
    shed = _learn(learner, examples[half:], Effort.NO_REHEARSAL)
    exporter, trace_sec = _timed(lambda: GraphExporter.trace(DEFAULT_MODEL, Columns()))
    weights = learner.snapshot()
    graphs, swap_sec = _best(lambda: exporter.export(weights))
    _, parity_sec = _best(lambda: largest_difference(graphs, weights, probe_of(learner, weights)))
    return {
        "decode_examples_per_s": len(examples) / decode_sec,
        "learn_examples_per_s": half / rehearsed,
        "learn_without_rehearsal_examples_per_s": half / shed,
        "learn_events_per_s": _events(examples[:half]) / rehearsed,
        "release_swap_ms": 1000 * swap_sec,
        "release_parity_ms": 1000 * parity_sec,
        "release_trace_ms": 1000 * trace_sec,
        "release_mib": (len(graphs.encode) + len(graphs.rank)) / 2**20,
    }


def _learn(learner: Learner, examples: list[Example], effort: Effort) -> float:
    """Return the seconds to train on the examples in micro-batches."""
    started = time.perf_counter()
    for start in range(0, len(examples), 2 * MICRO_BATCH):
        learner.observe(examples[start : start + 2 * MICRO_BATCH])
        learner.step(effort)
    return time.perf_counter() - started


def _records() -> list[TrainingExample]:
    """Return the examples of users with bursts of activity; popular items occur more often."""
    random = np.random.default_rng(0)
    weights = 1 / np.arange(1, ITEMS + 1)
    items = random.choice(ITEMS, EVENTS, p=weights / weights.sum())
    records: list[TrainingExample] = []
    for event, item in enumerate(items.tolist()):
        user = (event // MICRO_BATCH * ACTIVE_USERS // 4 + int(random.integers(ACTIVE_USERS))) % USERS
        candidates = [f"m{number}" for number in {item, *random.integers(0, ITEMS, CANDIDATES - 1).tolist()}]
        target = _item(f"m{item}", 1)
        impressions = [
            _item(item_id, int(position == event % SLATE), position)
            for position, item_id in enumerate(candidates[:SLATE])
        ]
        records.append(_example("next_item", [target], candidates, random, user, event))
        records.append(_example("label", impressions, [], random, user, event))
    return records


def _item(item_id: str, label: int, position: int = -1) -> LabelledItem:
    action = "click" if label else ""
    return {"item_id": item_id, "position": position, "propensity": 1.0, "label": label, "action": action, "value": 0.5}


def _example(
    kind: str, items: list[LabelledItem], candidates: list[str], random: np.random.Generator, user: int, event: int
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
        "considered": candidates,
        "considered_features": packed(len(candidates)) if candidates else b"",
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
    """Return the result and the shortest duration of several runs, which is least affected by other load."""
    runs = [_timed(work) for _ in range(times)]
    return runs[-1][0], min(seconds for _, seconds in runs)
