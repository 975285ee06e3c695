"""The input of the stages of one batch: the batch, its encoding, and the state at its beginning."""

from functools import cached_property

import numpy as np

from eddy_scorer.core.ranking.batch import EncoderOutput, RequestBatch
from eddy_scorer.core.state.arrays import F32
from eddy_scorer.core.state.covisits import Csr
from eddy_scorer.core.state.scorer_state import ScorerState

LAST_ITEMS = 20
# Oldest first: 1 / distance from the end of the history. Tuned on ML-1M as a stream.
RECENCY_WEIGHTS: F32 = 1.0 / np.arange(LAST_ITEMS, 0, -1, dtype=np.float32)


class BatchContext:
    """Shared by sources, features and reasons of one batch.

    `matrices` and `orders` are read once, because another thread may replace those of `state` while the batch runs.
    """

    def __init__(self, state: ScorerState, batch: RequestBatch, encoded: EncoderOutput | None) -> None:
        self.state = state
        self.batch = batch
        self.encoded = encoded
        self.matrices = state.matrices
        self.orders = state.orders

    @cached_property
    def neighbours(self) -> Csr:
        """Co-visitation of every item with the last LAST_ITEMS of each request, weighted by recency: CSR [B, size]."""
        last = self.batch.histories.rows[:, -LAST_ITEMS:]
        return self.matrices.weighted_sum(self.matrices.covisitations, last, RECENCY_WEIGHTS)
