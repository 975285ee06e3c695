"""The encoder's own best items."""

import numpy as np

from eddy_scorer.core.ranking.batch import Batch, Encoded
from eddy_scorer.core.state.arrays import I64, first_of
from eddy_scorer.core.state.catalogue import Catalogue


class EncoderSource:
    """Top-k of the model over the whole table, as the graph found it."""

    name = "encoder"

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def find(self, batch: Batch, encoded: Encoded | None, quota: int) -> I64:
        if encoded is None or not quota:
            return np.zeros((len(batch), 0), np.int64)
        rows = encoded.top_rows
        wanted = self._catalogue.eligible[batch.scenarios[:, None], rows] & ~batch.blocked[batch.places, rows]
        return first_of(rows, wanted & encoded.top_real, quota)
