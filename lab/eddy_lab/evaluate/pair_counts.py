"""Which items go together in a fixed data set: the counters of eddy_cli.baselines without decay, as matrices."""

from typing import Any, TypeAlias, cast

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray

from eddy_cli.baselines import Covisitation
from eddy_lab.evaluate.offline import Rows, TrainingHistories

Floats: TypeAlias = "NDArray[np.floating[Any]]"
Csr: TypeAlias = "sparse.csr_array[np.float32, tuple[int, int]]"

LAST = 20
MOVES_LAST = 5
MOVE_DECAY = 0.6
PRIOR_MOVES = 5.0
LEAST = 1e-4


class PairCounts:
    """Counts over each user's first `ends` interactions; scores of all items for histories."""

    def __init__(self, histories: TrainingHistories, ends: Rows, items: int) -> None:
        self._histories = histories
        self._size = items + 1
        users = np.repeat(np.arange(len(histories)), histories.lengths())
        kept = np.arange(len(histories.rows)) - histories.starts[users] < ends[users]
        rows, users = histories.rows[kept], users[kept]
        popularity = np.bincount(rows, minlength=self._size).astype(np.float32)
        together = self._pairs(rows, users, [distance**-Covisitation.learn_power for distance in range(1, LAST + 1)])
        together = (together + together.T).tocsr()
        together.data = together.data**Covisitation.power
        normaliser = (popularity + Covisitation.smoothing) ** -Covisitation.alpha
        self._together = cast(Csr, (together @ sparse.diags_array(normaliser)).tocsr())
        self.popularity = popularity
        self._importance = np.maximum(popularity, 1) ** -Covisitation.beta
        moves = self._pairs(rows, users, [1.0])
        self._moves = cast(
            Csr, (sparse.diags_array(1 / (np.asarray(moves.sum(axis=1)).ravel() + PRIOR_MOVES)) @ moves).tocsr()
        )

    def scores(self, users: Rows, ends: Rows) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Log of co-visitation with the last 20 items, and log odds of following the last five, from 0 on: each [U, rows]."""
        together = self._of_last(self._together, users, ends, 1 / np.arange(1, LAST + 1), self._importance)
        moves = self._of_last(self._moves, users, ends, MOVE_DECAY ** np.arange(MOVES_LAST), np.ones(self._size))
        return np.log1p(together), np.log1p(moves / LEAST)

    def _pairs(self, rows: Rows, users: Rows, weights: list[float]) -> Csr:
        """Weighted counts of items that came `distance` places after another, for each distance that has a weight."""
        total = cast(Csr, sparse.csr_array((self._size, self._size), dtype=np.float32))
        for distance, weight in enumerate(weights, 1):
            same = users[:-distance] == users[distance:]
            before, after = rows[:-distance][same], rows[distance:][same]
            counted = sparse.coo_array((np.full(len(before), weight, np.float32), (before, after)), shape=total.shape)
            total = cast(Csr, (total + counted.tocsr()).tocsr())
        return total

    def _of_last(
        self, matrix: Csr, users: Rows, ends: Rows, by_distance: Floats, importance: Floats
    ) -> NDArray[np.float32]:
        places = ends[:, None] - np.arange(1, len(by_distance) + 1)[None, :]
        rows = np.where(
            places >= 0, self._histories.rows[np.maximum(self._histories.starts[users][:, None] + places, 0)], 0
        )
        weights = by_distance[None, :] * importance[rows] * (rows > 0)
        lines = np.repeat(np.arange(len(users)), rows.shape[1])
        chosen = sparse.coo_array(
            (weights.ravel().astype(np.float32), (lines, rows.ravel())), shape=(len(users), self._size)
        )
        return np.asarray((chosen.tocsr() @ matrix).todense(), np.float32)
