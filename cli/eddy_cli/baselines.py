"""Baselines that the model has to beat, scored event by event: rank the item first, then learn it.

All recommend only items that are new to the user and have at least one interaction. Ties favour the baseline: `rank` counts the items that
score strictly higher than the given one.
"""

from array import array
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

HISTORY = 20
DENSE_ITEMS = 8192
DAY_MS = 86_400_000
MAX_HALF_LIVES = 60  # before the start of the decay moves
TINY = np.float32(1e-37)


class Baseline(Protocol):
    """For each event `rank` is called before `learn`. Users and items are dense indices, times milliseconds."""

    def rank(self, user: int, item: int) -> int:
        """Rank of `item`, from 0, among all items that are new to `user`."""
        ...

    def learn(self, user: int, item: int, at_ms: int) -> None:
        """Learn an interaction of `user` with `item`."""
        ...


class ForwardDecay:
    """Exponential decay by growing weights of new events, 2^(time since a start / half-life), instead of updating old ones.

    (Forward decay, Cormode et al. 2009.) Before weights leave the range of float32 the start moves, and all stored weights are rescaled.
    """

    def __init__(self, half_life_days: float) -> None:
        self._half_life_ms = half_life_days * DAY_MS
        self._start_ms: int | None = None

    def shrink(self, at_ms: int) -> float:
        """Factor for all stored weights before an event at `at_ms` is added: 1, except once in MAX_HALF_LIVES half-lives."""
        if self._start_ms is None or at_ms - self._start_ms <= MAX_HALF_LIVES * self._half_life_ms:
            return 1.0
        half_lives, self._start_ms = (at_ms - self._start_ms) / self._half_life_ms, at_ms
        return float(2.0 ** -min(half_lives, 2 * MAX_HALF_LIVES))

    def at(self, at_ms: int) -> float:
        """Weight of an event at `at_ms`."""
        if self._start_ms is None:
            self._start_ms = at_ms
        return float(2.0 ** max((at_ms - self._start_ms) / self._half_life_ms, -2 * MAX_HALF_LIVES))


class PlayedHistories:
    """Items of each user in the order of the last interaction with them, oldest first."""

    def __init__(self) -> None:
        self._items: dict[int, array[int]] = {}

    def add(self, user: int, item: int) -> None:
        items = self._items.setdefault(user, array("i"))
        if item in items:
            items.remove(item)
        items.append(item)

    def seen(self, user: int) -> NDArray[np.int32]:
        return np.array(self._items.get(user, ()), np.int32)

    def last(self, user: int, count: int) -> NDArray[np.int32]:
        """The last items, newest first."""
        return np.array(self._items.get(user, array("i"))[: -count - 1 : -1], np.int32)


def rank_among_unseen(scores: Vector, item: int, seen: NDArray[np.int32]) -> int:
    """Number of items outside of `seen` that score strictly higher than `item`.

    A seen item, and an item of score 0, is never recommended and gets the last rank. Without the latter rule an item without interactions
    would rank first by a tie while few items have a score.
    """
    if scores[item] <= 0 or item in seen:
        return len(scores) - 1
    better = scores > scores[item]
    return int(np.count_nonzero(better) - np.count_nonzero(better[seen]))


class Popularity:
    """Decayed popularity."""

    def __init__(self, items: int, half_life_days: float = 30.0) -> None:
        self._counts = np.zeros(items, np.float32)
        self._decay = ForwardDecay(half_life_days)
        self._histories = PlayedHistories()

    def rank(self, user: int, item: int) -> int:
        return rank_among_unseen(self._counts, item, self._histories.seen(user))

    def learn(self, user: int, item: int, at_ms: int) -> None:
        shrink = self._decay.shrink(at_ms)
        if shrink != 1.0:
            self._counts *= np.float32(shrink)
        self._counts[item] += self._decay.at(at_ms)
        self._histories.add(user, item)


class _DenseCounts:
    """Weights between items as a matrix, for up to DENSE_ITEMS items; `symmetric` adds both ways."""

    def __init__(self, items: int, power: float, symmetric: bool = True) -> None:
        self._weights = np.zeros((items, items), np.float32)
        self._power = power
        self._symmetric = symmetric

    def add(self, item: int, others: NDArray[np.int32], weights: Vector) -> None:
        self._weights[item, others] += weights
        if self._symmetric:
            self._weights[others, item] += weights

    def scale(self, factor: float) -> None:
        """Multiply every weight."""
        self._weights *= np.float32(factor)

    def combine(self, rows: NDArray[np.int32], weights: Vector) -> Vector:
        """Weighted sum of rows, each weight to the power."""
        return weights @ _powered(self._weights[rows], self._power)


class _SparseCounts:
    """As _DenseCounts, with growing arrays per row, for more items; memory is proportional to the pairs that occur."""

    def __init__(self, items: int, power: float, symmetric: bool = True) -> None:
        self._items = items
        self._power = power
        self._symmetric = symmetric
        self._columns: list[array[int]] = [array("i") for _ in range(items)]
        self._weights: list[array[float]] = [array("f") for _ in range(items)]
        self._slots: list[dict[int, int]] = [{} for _ in range(items)]

    def add(self, item: int, others: NDArray[np.int32], weights: Vector) -> None:
        for other, weight in zip(others.tolist(), weights.tolist(), strict=True):
            self._add_one(item, other, weight)
            if self._symmetric:
                self._add_one(other, item, weight)

    def _add_one(self, row: int, column: int, weight: float) -> None:
        slot = self._slots[row].setdefault(column, len(self._columns[row]))
        if slot == len(self._columns[row]):
            self._columns[row].append(column)
            self._weights[row].append(0.0)
        self._weights[row][slot] += weight

    def scale(self, factor: float) -> None:
        self._weights = [array("f", (factor * weight for weight in row)) for row in self._weights]

    def combine(self, rows: NDArray[np.int32], weights: Vector) -> Vector:
        columns = np.concatenate([np.array(self._columns[row], np.int32) for row in rows])
        values = np.concatenate([np.array(self._weights[row], np.float32) for row in rows])
        scale = np.repeat(weights, [len(self._columns[row]) for row in rows])
        return np.bincount(columns, _powered(values, self._power) * scale, self._items).astype(np.float32)


def _powered(values: Vector, power: float) -> Vector:
    """`values ** power`; numpy's sqrt is several times faster."""
    if power == 1.0:
        return values
    return np.sqrt(values) if power == 0.5 else values**power


class Covisitation:
    """Symmetric decayed co-visitation of a user's last 20 items with popularity normalisation: the strongest baseline.

    Learning an event adds `distance ** -learn_power` (grown by time) to the weight between its item and each of the user's last items.
    An item scores sum over the last items of `distance ** -score_power * popularity(last) ** -beta * weight ** power`, times
    `(popularity + smoothing) ** -alpha`. Items without a score are ranked by popularity. Tuned on ML-1M as a stream:
    cli/eddy_cli/replay/README.md.
    """

    half_life_days = 60.0
    learn_power = 0.8
    score_power = 1.0
    power = 0.5
    alpha = 0.2
    beta = 0.2
    smoothing = 3.0

    def __init__(self, items: int) -> None:
        distances = np.arange(1, HISTORY + 1, dtype=np.float32)
        self._learn_weights: Vector = distances**-self.learn_power
        self._score_weights: Vector = distances**-self.score_power
        self._decay = ForwardDecay(self.half_life_days)
        self._histories = PlayedHistories()
        self._counts = (_DenseCounts if items <= DENSE_ITEMS else _SparseCounts)(items, self.power)
        self._popularity = np.zeros(items, np.float32)
        self._normaliser = np.ones(items, np.float32)

    def rank(self, user: int, item: int) -> int:
        last = self._histories.last(user, HISTORY)
        scores = self._scores(last) if len(last) else self._popularity
        if scores[item] == 0:
            scores = np.where(scores > 0, np.float32(np.inf), self._popularity)
        return rank_among_unseen(scores, item, self._histories.seen(user))

    def learn(self, user: int, item: int, at_ms: int) -> None:
        shrink = self._decay.shrink(at_ms)
        if shrink != 1.0:
            self._counts.scale(shrink)
            self._popularity *= np.float32(shrink)
            self._normaliser = np.minimum(self._normaliser * np.float32(shrink**-self.alpha), 1 / TINY)
        grown = self._decay.at(at_ms)
        last = self._histories.last(user, HISTORY)
        others = last != item
        self._counts.add(item, last[others], self._learn_weights[: len(last)][others] * np.float32(grown))
        self._popularity[item] += grown
        self._normaliser[item] = (self._popularity[item] + self.smoothing * grown) ** -self.alpha
        self._histories.add(user, item)

    def _scores(self, last: NDArray[np.int32]) -> Vector:
        importance = self._score_weights[: len(last)] * np.maximum(self._popularity[last], TINY) ** -self.beta
        return self._counts.combine(last, np.asarray(importance, np.float32)) * self._normaliser


class Transitions:
    """Transitions from the user's last items: sum over the last `last` of `.6 ** distance * share of its successors`, distance from 0.

    Items without a score are ranked by popularity.
    """

    decay = 0.6
    smoothing = 5.0

    def __init__(self, items: int, last: int) -> None:
        self._last = last
        self._counts = (_DenseCounts if items <= DENSE_ITEMS else _SparseCounts)(items, power=1.0, symmetric=False)
        self._from = np.zeros(items, np.float32)
        self._popularity = np.zeros(items, np.float32)
        self._histories = PlayedHistories()
        self._weights: Vector = np.float32(self.decay) ** np.arange(last, dtype=np.float32)

    def rank(self, user: int, item: int) -> int:
        last = self._histories.last(user, self._last)
        scores = self._popularity
        if len(last):
            shares = self._weights[: len(last)] / (self._from[last] + self.smoothing)
            scores = self._counts.combine(last, shares.astype(np.float32))
        if scores[item] == 0:
            scores = np.where(scores > 0, np.float32(np.inf), self._popularity)
        return rank_among_unseen(scores, item, self._histories.seen(user))

    def learn(self, user: int, item: int, at_ms: int) -> None:
        before = self._histories.last(user, 1)
        if len(before) and before[0] != item:
            self._counts.add(int(before[0]), np.array([item], np.int32), np.ones(1, np.float32))
            self._from[before[0]] += 1
        self._popularity[item] += 1
        self._histories.add(user, item)


class Isgd:
    """Incremental matrix factorisation of positive-only feedback (Vinagre, Jorge and Gama 2014): one step towards 1 for each event.

    Items are ranked by the distance of their predicted score from 1.
    """

    factors = 50
    rate = 0.05
    regularisation = 0.01
    init = 0.1

    def __init__(self, items: int, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self._items: Vector = self._random.normal(0, self.init, (items, self.factors)).astype(np.float32)
        self._has_events = np.zeros(items, bool)
        self._users: dict[int, Vector] = {}
        self._histories = PlayedHistories()

    def rank(self, user: int, item: int) -> int:
        closeness = np.exp(-np.abs(1 - self._items @ self._vector(user)))
        return rank_among_unseen(np.where(self._has_events, closeness, np.float32(0)), item, self._histories.seen(user))

    def learn(self, user: int, item: int, at_ms: int) -> None:
        user_vector, item_vector = self._vector(user), self._items[item].copy()
        error = 1 - float(user_vector @ item_vector)
        self._users[user] = user_vector + self.rate * (error * item_vector - self.regularisation * user_vector)
        self._items[item] += self.rate * (error * user_vector - self.regularisation * item_vector)
        self._has_events[item] = True
        self._histories.add(user, item)

    def _vector(self, user: int) -> Vector:
        if user not in self._users:
            self._users[user] = self._random.normal(0, self.init, self.factors).astype(np.float32)
        return self._users[user]
