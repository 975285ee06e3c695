"""`domains`: MovieLens users of three ages as three scenarios, and whether one model serves them as well as a model of each.

`joint` is one model whose gates know the scenario, `pooled` the same without, `solo` one model for each scenario: with what is known of
everybody, and with what its own users did alone. By time (what counts) and at random 8:1:1, where only training events leave a trace.
"""

import time
from functools import partial

import numpy as np
from rich.console import Console

from eddy.errors import ConfigError
from eddy_cli.datasets import Dataset, load
from eddy_lab.evaluate.benchmarks.ctr import split_by_time
from eddy_lab.evaluate.labels import auc, separable_labels
from eddy_lab.evaluate.options import Options
from eddy_lab.evaluate.progress import bar, further
from eddy_lab.evaluate.rating_model.features import features
from eddy_lab.evaluate.rating_model.model import FitPolicy, RatedEvents, fit
from eddy_lab.evaluate.rating_model.state import F32, I64, LIKED
from eddy_lab.evaluate.result import BenchmarkResult

AGES = (25, 35)
SCENARIOS = ("1-24", "25-34", "35+")
SOLO = FitPolicy(epochs=6)
ANCHORS = {"ml-1m": {"random: HAMUR (Li et al. 2023)": {"auc": 0.8133}}}
WITHOUT = ("scenario", "action", "model", "text")  # options that say nothing here


def run(options: Options, console: Console) -> BenchmarkResult:
    """The whole data set, or the first `limit` events of it. Raises ConfigError for one without ages."""
    data = load(options.dataset, options.data).cut(options.limit)
    if not data.ages:
        raise ConfigError(f"{data.name} does not say how old its users are: `domains` needs ml-1m or ml-100k")
    ageless = next((user for user in data.user_ids if user not in data.ages), None)
    if ageless is not None:
        raise ConfigError(f"{data.name} does not say how old user {ageless} is")
    started = time.monotonic()
    ages = np.array([data.ages[user] for user in data.user_ids])
    scenarios = np.digitize(ages, AGES).astype(np.int64)[data.users]
    order = np.random.default_rng(options.seed).permutation(len(data))
    splits = {"time": split_by_time(len(data))}
    splits["random"] = tuple(np.sort(order[part]) for part in splits["time"])  # type: ignore[assignment]  # three again
    for scenario, name in enumerate(SCENARIOS):
        for parts in splits.values():
            separable_labels(data, [part[scenarios[part] == scenario] for part in parts], f"{data.name}, {name},")
    methods = {}
    with bar(console, "domains", 4 * len(data)) as show:
        for number, (split, parts) in enumerate(splits.items()):
            known = np.ones(len(data), bool)
            if split == "random":
                known = np.isin(np.arange(len(data)), parts[0])
            shared = features(data, known, partial(further, show, 2 * number * len(data)))
            own = _own(data, known, scenarios)
            show(2 * (number + 1) * len(data))
            for name, answers in _answers(data, scenarios, shared, own, parts, options.seed).items():
                methods[f"{split}: {name}"] = _figures(answers, data.values[parts[2]] >= LIKED, scenarios[parts[2]])
    return BenchmarkResult(
        protocol="domains",
        dataset=data.name,
        events=len(data),
        seconds=time.monotonic() - started,
        seed=options.seed,
        methods=methods,
        anchors=ANCHORS.get(data.name, {}),
        also={"joint at least solo": {split: _holds(methods, split) for split in ("time", "random")}},
    )


def _answers(
    data: Dataset, scenarios: I64, shared: F32, own: F32, parts: tuple[I64, I64, I64], seed: int
) -> dict[str, F32]:
    items, item = len(data.item_ids), data.items.astype(np.int64)
    train, valid, asked = parts

    def solo(x: F32) -> F32:
        answers = np.zeros(len(asked), np.float32)
        for scenario in range(len(SCENARIOS)):
            mine = [part[scenarios[part] == scenario] for part in parts]
            events = RatedEvents(x, item, scenarios, data.values)
            answers[scenarios[asked] == scenario] = fit(events, items, mine[0], mine[1], mine[2], 0, SOLO, seed)
        return answers

    events = RatedEvents(shared, item, scenarios, data.values)
    return {
        "joint": fit(events, items, train, valid, asked, len(SCENARIOS), FitPolicy(), seed),
        "pooled": fit(events, items, train, valid, asked, 0, FitPolicy(), seed),
        "solo, all known": solo(shared),
        "solo": solo(own),
    }


def _own(data: Dataset, known: "np.ndarray[tuple[int], np.dtype[np.bool_]]", scenarios: I64) -> F32:
    """Features of each scenario's events from its own events alone."""
    found: list[F32] = []
    places = []
    for scenario in range(len(SCENARIOS)):
        mine = np.flatnonzero(scenarios == scenario)
        found.append(features(data.at(mine), known[mine]))
        places.append(mine)
    together = np.concatenate(found)
    together[np.concatenate(places)] = together.copy()
    return together


def _figures(answers: F32, labels: "np.ndarray[tuple[int], np.dtype[np.bool_]]", scenarios: I64) -> dict[str, float]:
    figures = {"auc": auc(answers, labels)}
    for number, name in enumerate(SCENARIOS):
        mine = scenarios == number
        figures[f"auc {name}"] = auc(answers[mine], labels[mine])
    return figures


def _holds(methods: dict[str, dict[str, float]], split: str) -> dict[str, bool]:
    joint, solo = methods[f"{split}: joint"], methods[f"{split}: solo"]
    # As points: `transfer` has the interval that decides what serves.
    return {name: joint[f"auc {name}"] >= solo[f"auc {name}"] for name in SCENARIOS}
