"""`ratings`: predict every rating, then learn it, in one pass in order of time, as River evaluates its factorisation on MovieLens-100K.

State is updated by every event, weights after every micro-batch of 64. The predicted rating minimises expected absolute plus squared error,
a compromise between both metrics.
"""

from collections.abc import Callable
from math import log

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from eddy_cli.datasets import Dataset, load
from eddy_lab.evaluate.labels import rated_data
from eddy_lab.evaluate.options import Options
from eddy_lab.evaluate.progress import bar, offset
from eddy_lab.evaluate.rating_model.features import NAMES, features
from eddy_lab.evaluate.rating_model.model import AT_LEAST, CLIP, RatingModel, at_least, rating_loss
from eddy_lab.evaluate.rating_model.state import F32, I64
from eddy_lab.evaluate.result import MODEL, BenchmarkResult

MICRO_BATCH = 64
STEP_EVENTS = 512  # of a training step: the micro-batch and a sample of earlier events
STEPS = 4
RATE = 1e-3
ITEM_DECAY = 0.1
HIDDEN = (32,)
INITIAL_LOGITS = tuple(
    log(probability / (1 - probability)) for probability in (0.4, 0.2, 0.6, 0.8)
)  # of AT_LEAST, when all ratings are equally likely
RATINGS = np.arange(1.0, 6.0)
PREDICTED_RATINGS = np.arange(1.0, 5.001, 0.05)
PUBLISHED = {"ml-100k": {"River's BiasedMF": {"mae": 0.7486, "rmse": 0.9479}}}
UNUSED_OPTIONS = ("scenario", "action", "model", "text")

Vector = NDArray[np.float64]


def run(options: Options, console: Console) -> BenchmarkResult:
    """Run on the whole data set, or on its first `limit` events."""
    data = rated_data(load(options.dataset, options.data).cut(options.limit))
    with bar(console, "ratings", 2 * len(data)) as show:
        x = features(data, np.ones(len(data), bool), show)
        probabilities = validate(data, x, options.seed, offset(show, len(data)))
    predictions = {
        MODEL: decide(probabilities, 1.0),
        "model, mean": probabilities @ RATINGS,
        "model, median": decide(probabilities, 0.0),
        "mean of the item": x[:, NAMES.index("item mean")],
        "mean of all ratings": _running_mean(data.values),
    }
    return BenchmarkResult(
        dataset=data.name,
        events=len(data),
        methods={name: _errors(ratings, data.values) for name, ratings in predictions.items()},
        published=PUBLISHED.get(data.name, {}),
    )


def validate(data: Dataset, x: F32, seed: int, progress: Callable[[int], None] = lambda _: None) -> F32:
    """Probabilities [N, 5] of the ratings 1 to 5, each by weights trained on earlier micro-batches only."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    model = RatingModel(x.shape[1], len(data.item_ids), HIDDEN)
    model.last.bias.data = torch.tensor(INITIAL_LOGITS)
    optimiser, scaler = model.optimiser(RATE, ITEM_DECAY), _Scaler(x.shape[1])
    targets, items, importance = at_least(data.values), torch.from_numpy(data.items.astype(np.int64)), torch.ones(4)
    one_scenario = torch.zeros(len(data), dtype=torch.int64)
    reached = np.zeros((len(data), len(AT_LEAST)), np.float32)

    def logits(events: I64) -> torch.Tensor:
        batch: torch.Tensor = model(torch.from_numpy(scaler(x[events])), items[events], one_scenario[events])
        return batch

    for start in range(0, len(data), MICRO_BATCH):
        fresh = np.arange(start, min(start + MICRO_BATCH, len(data)))
        with torch.no_grad():
            reached[fresh] = torch.sigmoid(logits(fresh)).numpy()
        scaler.add(x[fresh])
        end = start + len(fresh)
        for _ in range(STEPS):
            rehearsed = random.integers(0, end, STEP_EVENTS - len(fresh))
            events = np.concatenate([fresh, rehearsed]) if end > STEP_EVENTS else np.arange(end)
            optimiser.zero_grad()
            rating_loss(logits(events), targets[events], importance).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimiser.step()
        progress(end)
    # The probability of reaching a rating must not rise with the rating.
    falling = np.minimum.accumulate(reached[:, [3, 2, 0, 1]], axis=1)
    ones, zeros = np.ones((len(data), 1), np.float32), np.zeros((len(data), 1), np.float32)
    return np.asarray(-np.diff(np.concatenate([ones, falling, zeros], axis=1), axis=1), np.float32)


def decide(probabilities: F32, squared: float) -> Vector:
    """Ratings [N] that minimise the expected absolute error plus `squared` times the squared error; 0 gives the median."""
    error = np.abs(PREDICTED_RATINGS[:, None] - RATINGS)
    loss = probabilities @ (error + squared * error**2).T
    return np.asarray(PREDICTED_RATINGS[loss.argmin(axis=1)], np.float64)


class _Scaler:
    """Standardises features by the mean and deviation of all rows added so far."""

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


def _running_mean(values: F32) -> Vector:
    """The mean of all ratings before each event."""
    sums = np.cumsum(values, dtype=np.float64) - values
    return np.asarray((sums + 3.5) / np.arange(1, len(values) + 1), np.float64)


def _errors(predictions: Vector | F32, values: F32) -> dict[str, float]:
    error = predictions - values
    return {"mae": float(np.abs(error).mean()), "rmse": float(np.sqrt((error**2).mean()))}
