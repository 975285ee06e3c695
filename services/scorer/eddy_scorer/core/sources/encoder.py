"""The encoder's best items."""

import numpy as np

from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.sources.source import ExplainedSource
from eddy_scorer.core.state.arrays import I64, first_where

MIN_SIMILARITY = 0.3  # cosine; embeddings are unit vectors


class EncoderSource(ExplainedSource):
    """The encoder's top items of the catalogue. No candidates without a model."""

    name = "encoder"

    def find(self, context: BatchContext, quota: int) -> I64:
        batch, encoded = context.batch, context.encoded
        if encoded is None or not quota:
            return np.zeros((len(batch), 0), np.int64)
        rows = encoded.top_rows
        eligible = context.state.catalogue.eligible[batch.scenarios[:, None], rows]
        return first_where(rows, eligible & ~batch.blocked[batch.indices, rows] & encoded.top_valid, quota)

    def causes(self, context: BatchContext, last: I64, rows: I64) -> I64:
        """The last item with the most similar embedding, if any reaches MIN_SIMILARITY."""
        vectors = context.state.table.vectors
        last_rows = np.where(last < len(vectors), last, 0)
        similarity = np.where(last_rows > 0, np.einsum("rld,rd->rl", vectors[last_rows], vectors[rows]), -1.0)
        best = np.argmax(similarity, axis=1)
        indices = np.arange(len(last_rows))
        return np.where(similarity[indices, best] >= MIN_SIMILARITY, last_rows[indices, best], 0)
