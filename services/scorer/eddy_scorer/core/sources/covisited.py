"""Items that go together with a user's last ones."""

import numpy as np

from eddy_scorer.core.ranking.batch import Batch
from eddy_scorer.core.state.arrays import F32, I32, I64
from eddy_scorer.core.state.catalogue import Catalogue
from eddy_scorer.core.state.covisits import Csr, Matrices, rows_of

LAST_ITEMS = 20
# Oldest first: one over the distance from the end of the history. Tuned on ML-1M as a stream.
PLACE_WEIGHTS: F32 = 1.0 / np.arange(LAST_ITEMS, 0, -1, dtype=np.float32)


class CovisitedSource:
    """Symmetric co-visitation with the last LAST_ITEMS items, decayed by place, popularity normalised."""

    name = "covisited"

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def neighbours(self, batch: Batch, matrices: Matrices) -> Csr:
        """All items that the last ones of each request call for: CSR [B, size]."""
        return matrices.from_history(matrices.together, batch.histories.rows[:, -LAST_ITEMS:], PLACE_WEIGHTS)

    def find(self, batch: Batch, neighbours: Csr, quota: int) -> I64:
        found = np.zeros((len(batch), quota), np.int64)
        for line, (rows, scores) in enumerate(rows_of(neighbours)):
            eligible = self._catalogue.eligible[batch.scenarios[line]]
            best = _top(rows, scores * (eligible.take(rows) & ~batch.blocked[line].take(rows)), quota)
            found[line, : len(best)] = best
        return found


def _top(rows: I32, scores: F32, quota: int) -> I32:
    """Rows of the `quota` best scores above 0, best first; equal scores go by row, so that the same state gives the same list."""
    if len(scores) > quota > 0:
        least = np.partition(scores, len(scores) - quota)[len(scores) - quota]
        better = np.flatnonzero(scores >= max(least, np.finfo(np.float32).tiny))
    else:
        better = np.flatnonzero(scores > 0)
    order = np.lexsort((rows[better], -scores[better]))[:quota]
    return np.asarray(rows[better[order]])
