"""Items often interacted with by the users who interacted with the user's last items."""

import numpy as np

from eddy_scorer.core.ranking.context import RECENCY_WEIGHTS, BatchContext
from eddy_scorer.core.sources.source import ExplainedSource
from eddy_scorer.core.state.arrays import F32, I32, I64
from eddy_scorer.core.state.covisits import rows_of


class CovisitedSource(ExplainedSource):
    """Items by symmetric co-visitation with the last items, weighted by recency and normalised by popularity."""

    name = "covisited"

    def find(self, context: BatchContext, quota: int) -> I64:
        batch, eligible = context.batch, context.state.catalogue.eligible
        out = np.zeros((len(batch), quota), np.int64)
        for index, (rows, scores) in enumerate(rows_of(context.neighbours)):
            allowed = eligible[batch.scenarios[index]].take(rows) & ~batch.blocked[index].take(rows)
            best = _top(rows, scores * allowed, quota)
            out[index, : len(best)] = best
        return out

    def causes(self, context: BatchContext, last: I64, rows: I64) -> I64:
        """The last item with the strongest co-visitation, weighted by recency, if there is any."""
        matrices = context.matrices
        last_rows = np.where(last < matrices.size, last, 0)
        targets = np.broadcast_to(rows[:, None], last_rows.shape)
        strength = np.asarray(matrices.covisitations[last_rows.ravel(), targets.ravel()]).reshape(last_rows.shape)
        weighted = strength * RECENCY_WEIGHTS * (last_rows > 0)
        best = np.argmax(weighted, axis=1)
        indices = np.arange(len(last_rows))
        return np.where(weighted[indices, best] > 0, last_rows[indices, best], 0)


def _top(rows: I32, scores: F32, quota: int) -> I32:
    """Rows of the `quota` best scores above 0, best first. Ties are ordered by row, so that the same state gives the same slate."""
    if len(scores) > quota > 0:
        threshold = np.partition(scores, len(scores) - quota)[len(scores) - quota]
        better = np.flatnonzero(scores >= max(threshold, np.finfo(np.float32).tiny))
    else:
        better = np.flatnonzero(scores > 0)
    order = np.lexsort((rows[better], -scores[better]))[:quota]
    return np.asarray(rows[better[order]])
