"""Counts of pairs of items in a fixed data set: those of eddy_cli.baselines without decay, as matrices."""

from typing import Any, TypeAlias, cast

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray

from eddy_cli.baselines import Covisitation
from eddy_lab.evaluate.offline import Rows, TrainingHistories

Floats: TypeAlias = "NDArray[np.floating[Any]]"
Csr: TypeAlias = "sparse.csr_array[np.float32, tuple[int, int]]"

COVISITATION_LAST = 20
TRANSITIONS_LAST = 5
TRANSITION_DECAY = 0.6
PRIOR_TRANSITIONS = 5.0
MIN_PROBABILITY = 1e-4


class PairCounts:
    """Counts over each user's first `ends` interactions; scores of all items for histories."""

    def __init__(self, histories: TrainingHistories, ends: Rows, items: int) -> None:
        self._histories = histories
        self._size = items + 1
        users = np.repeat(np.arange(len(histories)), histories.lengths())
        counted = np.arange(len(histories.rows)) - histories.starts[users] < ends[users]
        rows, users = histories.rows[counted], users[counted]
        popularity = np.bincount(rows, minlength=self._size).astype(np.float32)
        covisits = self._pairs(
            rows, users, [distance**-Covisitation.learn_power for distance in range(1, COVISITATION_LAST + 1)]
        )
        covisits = (covisits + covisits.T).tocsr()
        covisits.data = covisits.data**Covisitation.power
        normaliser = (popularity + Covisitation.smoothing) ** -Covisitation.alpha
        self._covisitation = cast(Csr, (covisits @ sparse.diags_array(normaliser)).tocsr())
        self.popularity = popularity
        self._importance = np.maximum(popularity, 1) ** -Covisitation.beta
        followers = self._pairs(rows, users, [1.0])
        totals = np.asarray(followers.sum(axis=1)).ravel() + PRIOR_TRANSITIONS
        self._transitions = cast(Csr, (sparse.diags_array(1 / totals) @ followers).tocsr())

    def scores(self, users: Rows, ends: Rows) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Two [U, rows] from 0: log of co-visitation with the last 20 items, and log probability of following the last five."""
        by_distance: Floats = 1 / np.arange(1, COVISITATION_LAST + 1)
        covisits = self._of_last(self._covisitation, users, ends, by_distance, self._importance)
        by_distance = TRANSITION_DECAY ** np.arange(TRANSITIONS_LAST)
        transitions = self._of_last(self._transitions, users, ends, by_distance, np.ones(self._size))
        return np.log1p(covisits), np.log1p(transitions / MIN_PROBABILITY)

    def _pairs(self, rows: Rows, users: Rows, weights: list[float]) -> Csr:
        """Counts [rows, rows] of one item `distance` interactions after another, weighted by `weights[distance - 1]`."""
        total = cast(Csr, sparse.csr_array((self._size, self._size), dtype=np.float32))
        for distance, weight in enumerate(weights, 1):
            same = users[:-distance] == users[distance:]
            before, after = rows[:-distance][same], rows[distance:][same]
            counts = sparse.coo_array((np.full(len(before), weight, np.float32), (before, after)), shape=total.shape)
            total = cast(Csr, (total + counts.tocsr()).tocsr())
        return total

    def _of_last(
        self, matrix: Csr, users: Rows, ends: Rows, by_distance: Floats, importance: Floats
    ) -> NDArray[np.float32]:
        steps = ends[:, None] - np.arange(1, len(by_distance) + 1)[None, :]
        rows = np.where(
            steps >= 0, self._histories.rows[np.maximum(self._histories.starts[users][:, None] + steps, 0)], 0
        )
        weights = by_distance[None, :] * importance[rows] * (rows > 0)
        batch_rows = np.repeat(np.arange(len(users)), rows.shape[1])
        weighted = sparse.coo_array(
            (weights.ravel().astype(np.float32), (batch_rows, rows.ravel())), shape=(len(users), self._size)
        )
        return np.asarray((weighted.tocsr() @ matrix).todense(), np.float32)
