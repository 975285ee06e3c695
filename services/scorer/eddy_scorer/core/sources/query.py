"""Items that match the words or the meaning of a query."""

import numpy as np

from eddy.words import query_words
from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.sources.source import MergedSource
from eddy_scorer.core.state.arrays import I64


class QuerySource(MergedSource):
    """The rows that match the query, by the share of its words that they have plus their similarity to it, then by popularity.

    Returns no columns if no request of the batch has a query.
    """

    name = "query"

    def find(self, context: BatchContext, quota: int) -> I64:
        batch = context.batch
        matches = {index: rows for index, rows in enumerate(batch.query_rows) if rows is not None}
        out = np.zeros((len(batch), quota if matches else 0), np.int64)
        for index, rows in matches.items():
            best = _best(context, index, rows)[:quota]
            out[index, : len(best)] = best
        return out


def _best(context: BatchContext, index: int, matches: I64) -> I64:
    state, batch = context.state, context.batch
    scenario, query = int(batch.scenarios[index]), batch.requests[index].query or ""
    rows = matches[state.catalogue.eligible[scenario, matches] & ~batch.blocked[index, matches]]
    shared_words = state.catalogue.word_matches(query)
    words = np.array([shared_words.get(row, 0) for row in rows.tolist()], np.int64)
    relevance = words / max(1, len(query_words(query))) + state.text_embeddings.similarity(query, rows)
    order: I64 = np.lexsort((rows, -state.popularity_of(scenario, rows), -relevance))
    return np.asarray(rows[order])
