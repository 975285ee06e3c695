"""Features of an event from the state before it: statistics of the item, the user's ratings, and both combined.

A residual is a rating minus the mean of its item at that time. A user's bias is the mean of their residuals.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from eddy.errors import ConfigError
from eddy_cli.datasets import Dataset
from eddy_lab.evaluate.rating_model.neighbours import neighbour_features
from eddy_lab.evaluate.rating_model.state import (
    BEST,
    DISLIKED,
    F32,
    I64,
    LIKED,
    PRIOR_BEST,
    PRIOR_DISLIKED,
    PRIOR_LIKED,
    Bool,
    EarlierEvents,
    ItemStatistics,
    earlier_events,
    item_statistics,
)

NAMES = (
    "user bias",
    *(
        "bias of the last ten",
        "bias of the last three",
        "bias of the last minutes",
        "last",
        "second last",
        "third last",
    ),
    *("user deviation", "user liked", "user best", "user disliked"),
    *("similar genres", "very similar genres", "genre similarity", "similar years", "year similarity"),
    *("user ratings", "session ratings", "ratings in this second", "gap"),
    *("slope by mean", "mean by slope", "slope by popularity", "popularity by slope", "relative popularity"),
    *("item mean", "item liked", "item recent", "item deviation", "item ratings", "overall mean", "year", "age"),
    *("neighbours", "neighbours, shrunk", "near neighbours", "neighbour ratings"),
)

Floats: TypeAlias = NDArray[np.floating[Any]]
Ints: TypeAlias = NDArray[np.integer[Any]]

CHUNK = 20_000
MAX_ITEMS = 12_000  # three matrices of items by items: 1.7 GB
SESSION_SEC = 1800.0
SECONDS_PER_DAY = 86_400.0
FIRST_GAP_SEC = 1e7
YEAR_DECAY = 5.0  # years of difference after which similarity is 1/e


def features(data: Dataset, recorded: Bool, progress: Callable[[int], None] = lambda _: None) -> F32:
    """[N, len(NAMES)]; `recorded` [N] marks the events that later events may see. Raises ConfigError above MAX_ITEMS items."""
    if len(data.item_ids) > MAX_ITEMS:
        raise ConfigError(
            f"{data.name} has {len(data.item_ids):,} items; the rating model supports at most {MAX_ITEMS:,}. "
            f"Choose a smaller data set"
        )
    statistics, earlier = item_statistics(data, recorded), earlier_events(data.users, recorded)
    residuals = (data.values - statistics.mean).astype(np.float32)
    content = _ItemContent(data)
    chunks, biases = [], []
    for start in range(0, len(data), CHUNK):
        events = np.arange(start, min(start + CHUNK, len(data)))
        chunk, bias = _of_users(data, events, earlier, residuals, statistics, content)
        chunks.append(chunk)
        biases.append(bias)
        progress(int(events[-1]) // 2)
    neighbours = neighbour_features(
        data, earlier, residuals, np.concatenate(biases), recorded, lambda done: progress((len(data) + done) // 2)
    )
    return np.concatenate([np.concatenate(chunks), _of_items(data, statistics, content), neighbours], axis=1)


class _ItemContent:
    """Genre similarity of all pairs of items, and the items' years."""

    def __init__(self, data: Dataset) -> None:
        names = sorted({genre for item in data.catalogue for genre in item.genres})
        hot = np.array([[name in item.genres for name in names] for item in data.catalogue], np.float32)
        hot /= np.maximum(np.linalg.norm(hot, axis=1, keepdims=True), 1e-6)
        self.similarity: F32 = hot @ hot.T
        years = [item.year for item in data.catalogue if item.year is not None]
        mean = float(np.mean(years)) if years else 2000.0
        self.years: F32 = np.array([mean if item.year is None else item.year for item in data.catalogue], np.float32)


def _of_items(data: Dataset, statistics: ItemStatistics, content: _ItemContent) -> F32:
    years = content.years[data.items]
    age = 1970 + data.times_ms / 1000.0 / SECONDS_PER_DAY / 365.25 - years
    columns = (
        statistics.mean,
        statistics.liked,
        statistics.recent,
        statistics.deviation,
        np.log1p(statistics.count),
        statistics.overall,
        years / 10 - 197,
        np.log1p(np.maximum(age, 0)),
    )
    return np.stack(columns, axis=1).astype(np.float32)


def _of_users(
    data: Dataset,
    events: I64,
    earlier: EarlierEvents,
    residuals: F32,
    statistics: ItemStatistics,
    content: _ItemContent,
) -> tuple[F32, F32]:
    """[E, F] of the users' ratings before `events`, and the users' biases [E]."""
    past, exists = earlier.last(events)
    item, items = data.items[events], data.items[past]
    count = exists.sum(axis=1)
    residual = residuals[past] * exists
    bias = residual.sum(axis=1) / (count + 3)
    centred = residual - bias[:, None] * exists
    elapsed = (data.times_ms[events][:, None] - data.times_ms[past]) / 1000.0
    popularity = np.log1p(statistics.count)
    columns = [
        bias,
        *_recent(residual, centred, exists, elapsed),
        *_distribution(data.values[past], centred, exists, count),
        *_similar_genres(content.similarity[item[:, None], items] * exists, centred, count),
        *_similar_years(content.years, item, items, exists, centred, count),
        *_session(elapsed, exists, count),
        *_slopes(centred, exists, statistics, popularity, events, past),
    ]
    return np.stack(columns, axis=1).astype(np.float32), bias.astype(np.float32)


def _recent(residual: Floats, centred: Floats, exists: Bool, elapsed: Floats) -> Iterator[Floats]:
    """Recent bias, weighted by order and by time, and the last three ratings."""
    age = np.arange(exists.shape[1], dtype=np.float32)
    for decay, prior in ((0.9, 1.0), (0.6, 0.5)):
        weight = np.float32(decay) ** age
        yield (residual * weight).sum(axis=1) / ((exists * weight).sum(axis=1) + prior)
    near = np.exp(-np.where(exists, elapsed, 1e6) / 600)
    yield (near * centred).sum(axis=1) / (near.sum(axis=1) + 1)
    yield from np.where(exists[:, :3], centred[:, :3], 0).T


def _distribution(values: Floats, centred: Floats, exists: Bool, count: Ints) -> Iterator[Floats]:
    """Standard deviation of the user's ratings, and the shares of high and low ones."""
    yield np.sqrt(((centred**2).sum(axis=1) + 3) / (count + 3))
    shares = ((values >= LIKED, PRIOR_LIKED), (values >= BEST, PRIOR_BEST), (values <= DISLIKED, PRIOR_DISLIKED))
    for matches, prior in shares:
        yield ((matches * exists).sum(axis=1) + 3 * prior) / (count + 3)


def _similar_genres(similarity: Floats, centred: Floats, count: Ints) -> Iterator[Floats]:
    """The user's rating of items with similar genres, and with very similar ones."""
    for weight in (similarity, similarity**4):
        yield (weight * centred).sum(axis=1) / (weight.sum(axis=1) + 1)
    yield similarity.sum(axis=1) / (count + 1)


def _similar_years(
    years: Floats, item: Ints, items: Ints, exists: Bool, centred: Floats, count: Ints
) -> Iterator[Floats]:
    weight = np.exp(-np.abs(years[item][:, None] - years[items]) / YEAR_DECAY) * exists
    yield (weight * centred).sum(axis=1) / (weight.sum(axis=1) + 1)
    yield weight.sum(axis=1) / (count + 1)


def _session(elapsed: Floats, exists: Bool, count: Ints) -> Iterator[Floats]:
    yield np.log1p(count)
    yield np.log1p(((elapsed < SESSION_SEC) & exists).sum(axis=1))
    yield np.log1p(((elapsed <= 0) & exists).sum(axis=1))
    yield np.log1p(np.maximum(np.where(count > 0, elapsed[:, 0], FIRST_GAP_SEC), 0))


def _slopes(
    centred: Floats, exists: Bool, statistics: ItemStatistics, popularity: Floats, events: Ints, past: Ints
) -> Iterator[Floats]:
    """Slopes of the user's ratings over item mean and over popularity, and their values at this event's item."""
    for measure, middle, prior in ((statistics.mean, 3.5, 5.0), (popularity, 5.0, 20.0)):
        offset = (measure[past] - middle) * exists
        slope = (centred * offset).sum(axis=1) / ((offset**2).sum(axis=1) + prior)
        yield slope
        yield slope * (measure[events] - middle)
    yield popularity[events] - (popularity[past] * exists).sum(axis=1) / np.maximum(exists.sum(axis=1), 1)
