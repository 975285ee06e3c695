"""`ctr`: whether a rating is at least 4, predicted by the rating model. Split by time: 80 % train, 10 % choose the epoch, 10 % test.

State of users and items is updated by every event, as in a live recommender; weights are fitted to the training part only. In the method
`model, frozen`, state too stops at the end of the training part.
"""

import numpy as np
from rich.console import Console

from eddy_cli.datasets import load
from eddy_lab.evaluate.labels import binary_figures, intervals, separable_labels
from eddy_lab.evaluate.options import Options
from eddy_lab.evaluate.progress import bar, offset
from eddy_lab.evaluate.rating_model.factors import fit_factors
from eddy_lab.evaluate.rating_model.features import NAMES, features
from eddy_lab.evaluate.rating_model.model import FitPolicy, RatedEvents, fit
from eddy_lab.evaluate.rating_model.state import F32, I64
from eddy_lab.evaluate.result import MODEL, BenchmarkResult

TRAIN_END, VALID_END = 0.8, 0.9
BIASES = ("user bias", "item mean")
PUBLISHED = {
    "ml-1m": {
        "best published": {"auc": 0.7919},
        "logistic MF, measured earlier": {"auc": 0.7944},
    }
}
UNUSED_OPTIONS = ("scenario", "action", "model", "text")


def run(options: Options, console: Console) -> BenchmarkResult:
    """Run on the whole data set, or on its first `limit` events."""
    data = load(options.dataset, options.data).cut(options.limit)
    parts = split_by_time(len(data))
    train, valid, test = parts
    liked = separable_labels(data, parts)
    items, users = data.items.astype(np.int64), data.users.astype(np.int64)
    one_scenario = np.zeros(len(data), np.int64)
    recorded = {MODEL: np.ones(len(data), bool), "model, frozen": np.arange(len(data)) < len(train)}
    logits: dict[str, F32] = {}
    with bar(console, "ctr", 2 * len(data)) as show:
        for number, (name, mask) in enumerate(recorded.items()):
            x = features(data, mask, offset(show, number * len(data)))
            events = RatedEvents(x, items, one_scenario, data.values)
            logits[name] = fit(events, len(data.item_ids), *parts, 0, FitPolicy(), options.seed)
            if name == MODEL:
                columns = [NAMES.index(column) for column in BIASES]
                biases = RatedEvents(x[:, columns], items * 0, one_scenario, data.values)
                logits["biases"] = fit(biases, 1, *parts, 0, FitPolicy(hidden=()), options.seed)
    logits["logistic MF"] = fit_factors(users, items, liked, train, valid, test, options.seed)
    labels = liked[test]
    return BenchmarkResult(
        dataset=data.name,
        events=len(data),
        methods={name: binary_figures(values, labels) for name, values in logits.items()},
        published=PUBLISHED.get(data.name, {}),
        details={
            "95 % by users": {
                name: intervals(values, labels, data.users[test], options.seed) for name, values in logits.items()
            }
        },
    )


def split_by_time(events: int) -> tuple[I64, I64, I64]:
    """Indices of the training, validation and test events."""
    train_end, valid_end = int(TRAIN_END * events), int(VALID_END * events)
    return np.arange(train_end), np.arange(train_end, valid_end), np.arange(valid_end, events)
