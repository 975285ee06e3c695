"""`domains`: three age groups of MovieLens users as three scenarios: does one model serve them as well as a model per group?

`joint` is one model with gates per scenario, `pooled` the same without gates, `solo` one model per scenario: once on state from all users,
once on state from its own users. Split by time (the result that counts) and at random 8:1:1; in the random split, only training events
update state.
"""

from collections.abc import Iterator

import numpy as np
from rich.console import Console

from eddy.errors import ConfigError
from eddy_cli.datasets import Dataset, load
from eddy_lab.evaluate.benchmarks.ctr import split_by_time
from eddy_lab.evaluate.labels import auc, separable_labels
from eddy_lab.evaluate.options import Options
from eddy_lab.evaluate.progress import bar, offset
from eddy_lab.evaluate.rating_model.features import features
from eddy_lab.evaluate.rating_model.model import FitPolicy, RatedEvents, fit
from eddy_lab.evaluate.rating_model.state import F32, I64, LIKED, Bool
from eddy_lab.evaluate.result import BenchmarkResult

AGES = (25, 35)
SCENARIOS = ("1-24", "25-34", "35+")
SOLO = FitPolicy(epochs=6)
PUBLISHED = {"ml-1m": {"random: HAMUR (Li et al. 2023)": {"auc": 0.8133}}}
UNUSED_OPTIONS = ("scenario", "action", "model", "text")

Parts = tuple[I64, I64, I64]  # indices of the training, validation and test events


def run(options: Options, console: Console) -> BenchmarkResult:
    """Run on the whole data set, or on its first `limit` events. Raises ConfigError if a user's age is missing."""
    data = load(options.dataset, options.data).cut(options.limit)
    scenarios = _scenarios(data)
    splits = dict(_splits(len(data), options.seed))
    for scenario, name in enumerate(SCENARIOS):
        for parts in splits.values():
            separable_labels(data, [part[scenarios[part] == scenario] for part in parts], f"{data.name}, {name},")
    methods = {}
    with bar(console, "domains", 4 * len(data)) as show:
        for number, (split, parts) in enumerate(splits.items()):
            recorded = np.ones(len(data), bool)
            if split == "random":
                recorded = np.isin(np.arange(len(data)), parts[0])
            shared = features(data, recorded, offset(show, 2 * number * len(data)))
            own = _own_features(data, recorded, scenarios)
            show(2 * (number + 1) * len(data))
            for name, logits in _predict(data, scenarios, shared, own, parts, options.seed).items():
                methods[f"{split}: {name}"] = _figures(logits, data.values[parts[2]] >= LIKED, scenarios[parts[2]])
    return BenchmarkResult(
        dataset=data.name,
        events=len(data),
        methods=methods,
        published=PUBLISHED.get(data.name, {}),
        details={"joint at least solo": {split: _joint_at_least_solo(methods, split) for split in splits}},
    )


def _scenarios(data: Dataset) -> I64:
    """The scenario of each event, by the age of its user."""
    if not data.ages:
        raise ConfigError(f"{data.name} has no ages of users. Use ml-1m or ml-100k")
    missing = next((user for user in data.user_ids if user not in data.ages), None)
    if missing is not None:
        raise ConfigError(f"{data.name} has no age of user {missing}. `domains` needs one for each user")
    ages = np.array([data.ages[user] for user in data.user_ids])
    groups: I64 = np.digitize(ages, AGES).astype(np.int64)
    return groups[data.users]


def _splits(events: int, seed: int) -> Iterator[tuple[str, Parts]]:
    train, valid, test = split_by_time(events)
    yield "time", (train, valid, test)
    order = np.random.default_rng(seed).permutation(events)
    yield "random", (np.sort(order[train]), np.sort(order[valid]), np.sort(order[test]))


def _predict(data: Dataset, scenarios: I64, shared: F32, own: F32, parts: Parts, seed: int) -> dict[str, F32]:
    """Logits of the test events by each method."""
    items, item = len(data.item_ids), data.items.astype(np.int64)
    test = parts[2]

    def solo(x: F32) -> F32:
        logits = np.zeros(len(test), np.float32)
        events = RatedEvents(x, item, scenarios, data.values)
        for scenario in range(len(SCENARIOS)):
            train, valid, own_test = (part[scenarios[part] == scenario] for part in parts)
            logits[scenarios[test] == scenario] = fit(events, items, train, valid, own_test, 0, SOLO, seed)
        return logits

    events = RatedEvents(shared, item, scenarios, data.values)
    return {
        "joint": fit(events, items, *parts, len(SCENARIOS), FitPolicy(), seed),
        "pooled": fit(events, items, *parts, 0, FitPolicy(), seed),
        "solo, shared state": solo(shared),
        "solo": solo(own),
    }


def _own_features(data: Dataset, recorded: Bool, scenarios: I64) -> F32:
    """Features of each scenario's events from the events of that scenario alone."""
    indices = [np.flatnonzero(scenarios == scenario) for scenario in range(len(SCENARIOS))]
    grouped = np.concatenate([features(data.at(own), recorded[own]) for own in indices])
    ungrouped = np.empty_like(grouped)
    ungrouped[np.concatenate(indices)] = grouped
    return ungrouped


def _figures(logits: F32, labels: Bool, scenarios: I64) -> dict[str, float]:
    figures = {"auc": auc(logits, labels)}
    for number, name in enumerate(SCENARIOS):
        own = scenarios == number
        figures[f"auc {name}"] = auc(logits[own], labels[own])
    return figures


def _joint_at_least_solo(methods: dict[str, dict[str, float]], split: str) -> dict[str, bool]:
    """By scenario, as point estimates; `transfer` computes the interval that decides what serves."""
    joint, solo = methods[f"{split}: joint"], methods[f"{split}: solo"]
    return {name: joint[f"auc {name}"] >= solo[f"auc {name}"] for name in SCENARIOS}
