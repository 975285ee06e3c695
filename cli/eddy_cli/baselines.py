"""The recommenders that the model has to beat, judged event by event: rank the item first, then learn it.

All recommend only items that the user has not acted on and that somebody has. A tie is decided for the baseline: `place` counts the
items that are strictly better than the one asked for.
"""

from array import array
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

HISTORY = 20
DENSE_ITEMS = 8192
DAY_MS = 86_400_000
LONGEST = 60  # half-lives
TINY = np.float32(1e-37)


class Baseline(Protocol):
    """`place` is asked before `learn` is told of the same event. Users and items are dense indices, times milliseconds."""

    def rank(self, user: int, item: int) -> int:
        """Place of `item`, from 0, among all items that `user` has not acted on."""
        ...

    def learn(self, user: int, item: int, at_ms: int) -> None:
        """Take in that `user` acted on `item`."""
        ...


class ForwardDecay:
    """Exponential decay without touching old values: what comes later weighs more, by 2^(time since a start / half-life).

    Before that leaves the range of float32 the start moves on, and whoever kept weights shrinks them by as much.
    """

    def __init__(self, half_life_days: float) -> None:
        self._half_life_ms = half_life_days * DAY_MS
        self._start_ms: int | None = None

    def shrink(self, at_ms: int) -> float:
        """What all weights so far are to be multiplied by before an event at `at_ms` is added: 1 but for every LONGEST half-lives."""
        if self._start_ms is None or at_ms - self._start_ms <= LONGEST * self._half_life_ms:
            return 1.0
        passed, self._start_ms = (at_ms - self._start_ms) / self._half_life_ms, at_ms
        return float(2.0 ** -min(passed, 2 * LONGEST))

    def at(self, at_ms: int) -> float:
        """Weight of an event at `at_ms`."""
        if self._start_ms is None:
            self._start_ms = at_ms
        return float(2.0 ** max((at_ms - self._start_ms) / self._half_life_ms, -2 * LONGEST))


class PlayedHistories:
    """Items of each user in the order of the last action on them, oldest first."""

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
    """How many items that are not in `seen` score strictly higher than `item`.

    An item that was seen, or that nothing speaks for (score 0), is never recommended: last place. Without the latter rule a target that
    nobody has acted on would be found by being the target, as long as few items have a score.
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
    """The same as growing arrays per row, for more items; memory follows the pairs that occur."""

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
    """`values ** power`; the root is several times faster by its own name."""
    if power == 1.0:
        return values
    return np.sqrt(values) if power == 0.5 else values**power


class Covisitation:
    """Symmetric decayed co-visitation of a user's last 20 items with popularity normalisation: the strong counter.

    Learning an event adds `distance ** -learn_power` (grown by time) to the weight between its item and each of the user's last items.
    An item scores sum over the last items of `distance ** -score_power * popularity(last) ** -beta * weight ** power`, times
    `(popularity + smoothing) ** -alpha`. Popularity orders what is left without a score. Tuned on ML-1M as a stream:
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
    """What followed the user's last items: sum over the last `last` of `.6 ** distance * share of its successors`, distance from 0.

    Popularity orders what is left without a score.
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

    Items are ranked by how near their predicted score is to 1.
    """

    factors = 50
    rate = 0.05
    regularisation = 0.01
    init = 0.1

    def __init__(self, items: int, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self._items: Vector = self._random.normal(0, self.init, (items, self.factors)).astype(np.float32)
        self._known = np.zeros(items, bool)
        self._users: dict[int, Vector] = {}
        self._histories = PlayedHistories()

    def rank(self, user: int, item: int) -> int:
        near = np.exp(-np.abs(1 - self._items @ self._vector(user)))
        return rank_among_unseen(np.where(self._known, near, np.float32(0)), item, self._histories.seen(user))

    def learn(self, user: int, item: int, at_ms: int) -> None:
        of_user, of_item = self._vector(user), self._items[item].copy()
        error = 1 - float(of_user @ of_item)
        self._users[user] = of_user + self.rate * (error * of_item - self.regularisation * of_user)
        self._items[item] += self.rate * (error * of_user - self.regularisation * of_item)
        self._known[item] = True
        self._histories.add(user, item)

    def _vector(self, user: int) -> Vector:
        if user not in self._users:
            self._users[user] = self._random.normal(0, self.init, self.factors).astype(np.float32)
        return self._users[user]
