"""What matches the words or the meaning of a query."""

import numpy as np

from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.sources.source import MergedSource
from eddy_scorer.core.state.arrays import I64
from eddy_scorer.core.state.catalogue import words_of


class QuerySource(MergedSource):
    """The rows that the query leaves, by the share of its words that they have plus their likeness to it, then by popularity.

    No columns where no request of the batch has a query.
    """

    name = "query"

    def find(self, context: BatchContext, quota: int) -> I64:
        batch = context.batch
        matches = {index: kept for index, kept in enumerate(batch.kept) if kept is not None}
        out = np.zeros((len(batch), quota if matches else 0), np.int64)
        for index, kept in matches.items():
            rows = _best(context, index, kept)[:quota]
            out[index, : len(rows)] = rows
        return out


def _best(context: BatchContext, index: int, kept: I64) -> I64:
    state, batch = context.state, context.batch
    scenario, query = int(batch.scenarios[index]), batch.requests[index].query or ""
    rows = kept[state.catalogue.eligible[scenario, kept] & ~batch.blocked[index, kept]]
    shared = state.catalogue.matching(query)
    words = np.array([shared.get(row, 0) for row in rows.tolist()], np.int64)
    fit = words / max(1, len(words_of(query))) + state.text_embeddings.similarity(query, rows)
    order: I64 = np.lexsort((rows, -state.popularity_of(scenario, rows), -fit))
    return np.asarray(rows[order])
