"""`ratings`: every rating predicted, then learned, in order of time and once, as River validates its factorisation on MovieLens-100K.

State moves with every event, weights after every micro-batch of 64. Out of the predicted chances of the five ratings comes the one answer
that is best for a loss between both metrics: absolute error plus squared error.
"""

import time
from collections.abc import Callable
from math import log

import numpy as np
import torch
from rich.console import Console

from eddy_cli.datasets import Dataset, load
from eddy_lab.evaluate.labels import rated
from eddy_lab.evaluate.options import Options
from eddy_lab.evaluate.progress import bar
from eddy_lab.evaluate.rating_model.features import NAMES, features
from eddy_lab.evaluate.rating_model.model import AT_LEAST, CLIP, RatingModel, at_least, rating_loss
from eddy_lab.evaluate.rating_model.state import F32
from eddy_lab.evaluate.result import MODEL, BenchmarkResult

MICRO_BATCH = 64
REPLAYED = 512
STEPS = 4
RATE = 1e-3
ITEM_DECAY = 0.1
HIDDEN = (32,)
EVEN_LOGITS = tuple(
    log(chance / (1 - chance)) for chance in (0.4, 0.2, 0.6, 0.8)
)  # of AT_LEAST, each rating as likely as any other
RATINGS = np.arange(1.0, 6.0)
ANSWERS = np.arange(1.0, 5.001, 0.05)
ANCHORS = {"ml-100k": {"River's BiasedMF": {"mae": 0.7486, "rmse": 0.9479}}}
WITHOUT = ("scenario", "action", "model", "text")  # options that say nothing here


def run(options: Options, console: Console) -> BenchmarkResult:
    """The whole data set, or the first `limit` events of it."""
    data = rated(load(options.dataset, options.data).cut(options.limit))
    started = time.monotonic()
    with bar(console, "ratings", 2 * len(data)) as show:
        x = features(data, np.ones(len(data), bool), show)
        chances = validate(data, x, options.seed, lambda done: show(len(data) + done))
    answers = {
        MODEL: decide(chances, 1.0),
        "model, mean": chances @ RATINGS,
        "model, median": decide(chances, 0.0),
        "mean of the item": x[:, NAMES.index("item mean")],
        "mean of all before": _running_mean(data.values),
    }
    return BenchmarkResult(
        protocol="ratings",
        dataset=data.name,
        events=len(data),
        seconds=time.monotonic() - started,
        seed=options.seed,
        methods={name: _errors(answer, data.values) for name, answer in answers.items()},
        anchors=ANCHORS.get(data.name, {}),
    )


def validate(data: Dataset, x: F32, seed: int, progress: Callable[[int], None] = lambda _: None) -> F32:
    """Chances [N, 5] of the ratings 1 to 5, each by weights that had seen earlier micro-batches alone."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    model = RatingModel(x.shape[1], len(data.item_ids), HIDDEN)
    model.last.bias.data = torch.tensor(EVEN_LOGITS)
    optimiser, scale = model.optimiser(RATE, ITEM_DECAY), _Scale(x.shape[1])
    wanted, items, importance = at_least(data.values), torch.from_numpy(data.items.astype(np.int64)), torch.ones(4)
    none = torch.zeros(len(data), dtype=torch.int64)
    reached = np.zeros((len(data), len(AT_LEAST)), np.float32)

    def logits(events: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> torch.Tensor:
        found: torch.Tensor = model(torch.from_numpy(scale(x[events])), items[events], none[events])
        return found

    for start in range(0, len(data), MICRO_BATCH):
        fresh = np.arange(start, min(start + MICRO_BATCH, len(data)))
        with torch.no_grad():
            reached[fresh] = torch.sigmoid(logits(fresh)).numpy()
        scale.add(x[fresh])
        seen = start + len(fresh)
        for _ in range(STEPS):
            replayed = random.integers(0, seen, REPLAYED - len(fresh))
            events = np.concatenate([fresh, replayed]) if seen > REPLAYED else np.arange(seen)
            optimiser.zero_grad()
            rating_loss(logits(events), wanted[events], importance).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimiser.step()
        progress(seen)
    # A higher rating is never likelier to be reached than a lower one.
    falling = np.minimum.accumulate(reached[:, [3, 2, 0, 1]], axis=1)
    ones, nothing = np.ones((len(data), 1), np.float32), np.zeros((len(data), 1), np.float32)
    return np.asarray(-np.diff(np.concatenate([ones, falling, nothing], axis=1), axis=1), np.float32)


def decide(chances: F32, squared: float) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """The answer [N] with the least expected absolute error plus `squared` times the squared one; 0 is the median."""
    error = np.abs(ANSWERS[:, None] - RATINGS)
    return np.asarray(ANSWERS[(chances @ (error + squared * error**2).T).argmin(axis=1)], np.float64)


class _Scale:
    """Mean and deviation of what came so far."""

    def __init__(self, width: int) -> None:
        self._count = 0
        self._sum, self._square = np.zeros(width), np.zeros(width)
        self._mean, self._deviation = np.zeros(width), np.ones(width)

    def add(self, x: F32) -> None:
        self._count += len(x)
        self._sum += x.sum(axis=0)
        self._square += (x.astype(np.float64) ** 2).sum(axis=0)
        self._mean = self._sum / self._count
        self._deviation = np.sqrt(np.maximum(self._square / self._count - self._mean**2, 1e-4))

    def __call__(self, x: F32) -> F32:
        return np.clip((x - self._mean) / self._deviation, -CLIP, CLIP).astype(np.float32)


def _running_mean(values: F32) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    sums = np.cumsum(values, dtype=np.float64) - values
    return np.asarray((sums + 3.5) / np.arange(1, len(values) + 1), np.float64)


def _errors(answers: "np.ndarray[tuple[int], np.dtype[np.float64]] | F32", values: F32) -> dict[str, float]:
    error = answers - values
    return {"mae": float(np.abs(error).mean()), "rmse": float(np.sqrt((error**2).mean()))}
