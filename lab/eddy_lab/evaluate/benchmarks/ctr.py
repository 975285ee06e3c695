"""`ctr`: whether a rating will be at least 4. The first 80 % in time train, the next 10 % choose the epoch, the last 10 % are asked.

What is known of users and items moves on with every event, as in a live recommender; weights are those of the training part. `frozen` is
the same with nothing known of what came after that part.
"""

import time

import numpy as np
from rich.console import Console

from eddy_cli.datasets import load
from eddy_lab.evaluate.labels import auc, intervals, log_losses, separable_labels
from eddy_lab.evaluate.options import Options
from eddy_lab.evaluate.progress import bar
from eddy_lab.evaluate.rating_model.factors import fit_factors
from eddy_lab.evaluate.rating_model.features import NAMES, features
from eddy_lab.evaluate.rating_model.model import FitPolicy, RatedEvents, fit
from eddy_lab.evaluate.rating_model.state import F32, I64
from eddy_lab.evaluate.result import MODEL, BenchmarkResult

TRAIN, VALID = 0.8, 0.9
BIASES = ("level", "item mean")
ANCHORS = {
    "ml-1m": {
        "best published": {"auc": 0.7919},
        "logistic MF, measured before": {"auc": 0.7944},
    }
}
WITHOUT = ("scenario", "action", "model", "text")  # options that say nothing here


def run(options: Options, console: Console) -> BenchmarkResult:
    """The whole data set, or the first `limit` events of it."""
    data = load(options.dataset, options.data).cut(options.limit)
    started = time.monotonic()
    train, valid, asked = split_by_time(len(data))
    liked = separable_labels(data, (train, valid, asked))
    items, users = len(data.item_ids), data.users.astype(np.int64)
    item, alone = data.items.astype(np.int64), np.zeros(len(data), np.int64)
    found: dict[str, F32] = {}
    with bar(console, "ctr", 2 * len(data)) as show:
        for name, known in {
            MODEL: np.ones(len(data), bool),
            "model, frozen": np.arange(len(data)) < len(train),
        }.items():
            x = features(data, known, show if name == MODEL else lambda done: show(len(data) + done))
            found[name] = fit(
                RatedEvents(x, item, alone, data.values), items, train, valid, asked, 0, FitPolicy(), options.seed
            )
            if name == MODEL:
                biases = RatedEvents(x[:, [NAMES.index(one) for one in BIASES]], item * 0, alone, data.values)
                found["biases"] = fit(biases, 1, train, valid, asked, 0, FitPolicy(hidden=()), options.seed)
    found["logistic MF"] = fit_factors(users, item, liked, train, valid, asked, options.seed)
    labels = liked[asked]
    return BenchmarkResult(
        protocol="ctr",
        dataset=data.name,
        events=len(data),
        seconds=time.monotonic() - started,
        seed=options.seed,
        methods={
            name: {"auc": auc(each, labels), "log_loss": float(log_losses(each, labels).mean())}
            for name, each in found.items()
        },
        anchors=ANCHORS.get(data.name, {}),
        also={
            "95 % by users": {
                name: intervals(each, labels, data.users[asked], options.seed) for name, each in found.items()
            }
        },
    )


def split_by_time(events: int) -> tuple[I64, I64, I64]:
    """Training, choosing, asked: places in the stream."""
    one, two = int(TRAIN * events), int(VALID * events)
    return np.arange(one), np.arange(one, two), np.arange(two, events)
