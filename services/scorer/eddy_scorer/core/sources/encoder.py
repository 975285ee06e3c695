"""The encoder's own best items."""

import numpy as np

from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.sources.source import ExplainedSource
from eddy_scorer.core.state.arrays import I64, first_of

MIN_SIMILARITY = 0.3  # cosine; item rows are unit vectors


class EncoderSource(ExplainedSource):
    """Top-k of the model over the whole table. Nothing without a model."""

    name = "encoder"

    def find(self, context: BatchContext, quota: int) -> I64:
        batch, encoded = context.batch, context.encoded
        if encoded is None or not quota:
            return np.zeros((len(batch), 0), np.int64)
        rows = encoded.top_rows
        eligible = context.state.catalogue.eligible[batch.scenarios[:, None], rows]
        return first_of(rows, eligible & ~batch.blocked[batch.indices, rows] & encoded.top_real, quota)

    def causes(self, context: BatchContext, last: I64, rows: I64) -> I64:
        """The one most similar by item rows, where any is similar at all."""
        vectors = context.state.table.vectors
        usable = np.where(last < len(vectors), last, 0)
        similarity = np.where(usable > 0, np.einsum("rld,rd->rl", vectors[usable], vectors[rows]), -1.0)
        best = np.argmax(similarity, axis=1)
        each = np.arange(len(usable))
        return np.where(similarity[each, best] >= MIN_SIMILARITY, usable[each, best], 0)
