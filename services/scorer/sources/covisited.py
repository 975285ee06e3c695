"""Items that go together with a user's last ones."""

from dataclasses import dataclass

import numpy as np

from services.scorer.arrays import F32, I64
from services.scorer.batch import Batch
from services.scorer.catalogue import Catalogue
from services.scorer.covisits import Matrices

LAST_ITEMS = 20
# Oldest first: one over the distance from the end of the history. Tuned on ML-1M as a stream.
PLACE_WEIGHTS: F32 = 1.0 / np.arange(LAST_ITEMS, 0, -1, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """All neighbours of the last items of a batch, ragged: entry i is item `rows[i]` for request `lines[i]` with `scores[i]`."""

    lines: I64
    rows: I64
    scores: F32


class CovisitedSource:
    """Symmetric co-visitation with the last LAST_ITEMS items, decayed by place, popularity normalised."""

    name = "covisited"

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def neighbours(self, batch: Batch, matrices: Matrices) -> Neighbours:
        found = matrices.from_history(matrices.together, batch.histories.rows[:, -LAST_ITEMS:], PLACE_WEIGHTS)
        lines = np.repeat(np.arange(len(batch)), np.diff(found.indptr))
        return Neighbours(lines, found.indices.astype(np.int64), found.data)

    def find(self, batch: Batch, neighbours: Neighbours, quota: int) -> I64:
        lines, rows = neighbours.lines, neighbours.rows
        wanted = self._catalogue.eligible[batch.scenarios[lines], rows] & ~batch.blocked[lines, rows]
        lines, rows, scores = lines[wanted], rows[wanted], neighbours.scores[wanted]
        counts = np.bincount(lines, minlength=len(batch))
        width = int(counts.max(initial=0))
        # Ragged to rectangular: entry i of a request goes to its i-th column.
        columns = np.arange(len(lines)) - np.repeat(np.cumsum(counts) - counts, counts)
        table = np.full((len(batch), max(width, quota)), -np.inf, np.float32)
        names = np.zeros(table.shape, np.int64)
        table[lines, columns] = scores
        names[lines, columns] = rows
        return _top(table, names, quota)


def _top(scores: F32, rows: I64, quota: int) -> I64:
    """Rows of the `quota` best scores of each line, best first."""
    best = np.argpartition(-scores, quota - 1, axis=1)[:, :quota] if quota < scores.shape[1] else None
    if best is not None:
        scores, rows = np.take_along_axis(scores, best, 1), np.take_along_axis(rows, best, 1)
    # Equal scores go by row, so that the same state gives the same list.
    order = np.lexsort((rows, -scores), axis=1)[:, :quota]
    return np.take_along_axis(rows, order, 1)
