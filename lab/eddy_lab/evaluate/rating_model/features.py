"""Features of an event from what was known before it: the item's counters, the user's ratings, and how the two go together.

A residual is a rating less its item's mean as it then stood; a user's level is the mean of their residuals.
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
    USUAL_BEST,
    USUAL_DISLIKED,
    USUAL_LIKED,
    Bool,
    ItemStatistics,
    Lookback,
    item_state,
    lookback,
)

NAMES = (
    "level",
    *("level of the last ten", "level of the last three", "level of now", "last", "second last", "third last"),
    *("spread", "liked", "best", "disliked"),
    *("of like genres", "of very like genres", "like genres", "of like years", "like years"),
    *("ratings", "session", "same second", "gap"),
    *("slope by mean", "by mean here", "slope by popularity", "by popularity here", "popularity beside usual"),
    *("item mean", "item liked", "item recent", "item spread", "item ratings", "overall", "year", "age"),
    *("neighbours", "neighbours, shrunk", "near neighbours", "neighbours known"),
)

Floats: TypeAlias = NDArray[np.floating[Any]]
Ints: TypeAlias = NDArray[np.integer[Any]]

PORTION = 20_000
MOST_ITEMS = 12_000  # three matrices of items by items: 1.7 GB
SESSION_SEC = 1800.0
SECONDS_A_DAY = 86_400.0
FIRST_GAP_SEC = 1e7
YEARS = 5.0  # decay of the likeness of two years


def features(data: Dataset, known: Bool, progress: Callable[[int], None] = lambda _: None) -> F32:
    """[N, len(NAMES)]; `known` [N] says which events leave a trace. Raises ConfigError for more than MOST_ITEMS items."""
    if len(data.item_ids) > MOST_ITEMS:
        raise ConfigError(
            f"{data.name} has {len(data.item_ids):,} items: their neighbours are counted for up to {MOST_ITEMS:,}"
        )
    states, before = item_state(data, known), lookback(data.users, known)
    residuals = (data.values - states.mean).astype(np.float32)
    content = _Content(data)
    parts, levels = [], []
    for start in range(0, len(data), PORTION):
        events = np.arange(start, min(start + PORTION, len(data)))
        found, level = _of_users(data, events, before, residuals, states, content)
        parts.append(found)
        levels.append(level)
        progress(int(events[-1]) // 2)
    near = neighbour_features(
        data, before, residuals, np.concatenate(levels), known, lambda done: progress((len(data) + done) // 2)
    )
    return np.concatenate([np.concatenate(parts), _of_items(data, states, content), near], axis=1)


class _Content:
    """What items are about: likeness of two by genres, and their years."""

    def __init__(self, data: Dataset) -> None:
        names = sorted({genre for item in data.catalogue for genre in item.genres})
        hot = np.array([[name in item.genres for name in names] for item in data.catalogue], np.float32)
        hot /= np.maximum(np.linalg.norm(hot, axis=1, keepdims=True), 1e-6)
        self.alike: F32 = hot @ hot.T
        known = [item.year for item in data.catalogue if item.year is not None]
        usual = float(np.mean(known)) if known else 2000.0
        self.years: F32 = np.array([usual if item.year is None else item.year for item in data.catalogue], np.float32)


def _of_items(data: Dataset, states: ItemStatistics, content: _Content) -> F32:
    years = content.years[data.items]
    age = 1970 + data.times_ms / 1000.0 / SECONDS_A_DAY / 365.25 - years
    columns = (
        states.mean,
        states.liked,
        states.recent,
        states.spread,
        np.log1p(states.count),
        states.overall,
        years / 10 - 197,
        np.log1p(np.maximum(age, 0)),
    )
    return np.stack(columns, axis=1).astype(np.float32)


def _of_users(
    data: Dataset, events: I64, before: Lookback, residuals: F32, states: ItemStatistics, content: _Content
) -> tuple[F32, F32]:
    """[E, F] of the users' ratings before `events`, and the users' levels [E]."""
    past, there = before.of(events)
    item, items = data.items[events], data.items[past]
    count = there.sum(axis=1)
    residual = residuals[past] * there
    level = residual.sum(axis=1) / (count + 3)
    centred = residual - level[:, None] * there
    elapsed = (data.times_ms[events][:, None] - data.times_ms[past]) / 1000.0
    popularity = np.log1p(states.count)
    columns = [
        level,
        *_recency(residual, centred, there, elapsed),
        *_spread(data.values[past], centred, there, count),
        *_alike(content.alike[item[:, None], items] * there, centred, count),
        *_of_like_years(content.years, item, items, there, centred, count),
        *_session(elapsed, there, count),
        *_slopes(centred, there, states, popularity, events, past),
    ]
    return np.stack(columns, axis=1).astype(np.float32), level.astype(np.float32)


def _recency(residual: Floats, centred: Floats, there: Bool, elapsed: Floats) -> Iterator[Floats]:
    """Levels of late, by place and by time, and the last three ratings."""
    place = np.arange(there.shape[1], dtype=np.float32)
    for decay, prior in ((0.9, 1.0), (0.6, 0.5)):
        weight = np.float32(decay) ** place
        yield (residual * weight).sum(axis=1) / ((there * weight).sum(axis=1) + prior)
    near = np.exp(-np.where(there, elapsed, 1e6) / 600)
    yield (near * centred).sum(axis=1) / (near.sum(axis=1) + 1)
    yield from np.where(there[:, :3], centred[:, :3], 0).T


def _spread(values: Floats, centred: Floats, there: Bool, count: Ints) -> Iterator[Floats]:
    """How the user uses the scale."""
    yield np.sqrt(((centred**2).sum(axis=1) + 3) / (count + 3))
    shares = ((values >= LIKED, USUAL_LIKED), (values >= BEST, USUAL_BEST), (values <= DISLIKED, USUAL_DISLIKED))
    for wanted, usual in shares:
        yield ((wanted * there).sum(axis=1) + 3 * usual) / (count + 3)


def _alike(alike: Floats, centred: Floats, count: Ints) -> Iterator[Floats]:
    """What the user thought of items of like genres, and of very like ones."""
    for weight in (alike, alike**4):
        yield (weight * centred).sum(axis=1) / (weight.sum(axis=1) + 1)
    yield alike.sum(axis=1) / (count + 1)


def _of_like_years(
    years: Floats, item: Ints, items: Ints, there: Bool, centred: Floats, count: Ints
) -> Iterator[Floats]:
    weight = np.exp(-np.abs(years[item][:, None] - years[items]) / YEARS) * there
    yield (weight * centred).sum(axis=1) / (weight.sum(axis=1) + 1)
    yield weight.sum(axis=1) / (count + 1)


def _session(elapsed: Floats, there: Bool, count: Ints) -> Iterator[Floats]:
    yield np.log1p(count)
    yield np.log1p(((elapsed < SESSION_SEC) & there).sum(axis=1))
    yield np.log1p(((elapsed <= 0) & there).sum(axis=1))
    yield np.log1p(np.maximum(np.where(count > 0, elapsed[:, 0], FIRST_GAP_SEC), 0))


def _slopes(
    centred: Floats, there: Bool, states: ItemStatistics, popularity: Floats, events: Ints, past: Ints
) -> Iterator[Floats]:
    """Whether the user likes what everybody likes, and what everybody knows: slopes of their ratings, and where they lead here."""
    for measure, middle, prior in ((states.mean, 3.5, 5.0), (popularity, 5.0, 20.0)):
        moved = (measure[past] - middle) * there
        slope = (centred * moved).sum(axis=1) / ((moved**2).sum(axis=1) + prior)
        yield slope
        yield slope * (measure[events] - middle)
    yield popularity[events] - (popularity[past] * there).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
