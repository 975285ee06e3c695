"""The input of ranking features."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from eddy_scorer.core.ranking.batch import CandidateBatch
from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.state.arrays import F32, I32, I64, grown
from eddy_scorer.core.state.covisits import Csr, rows_of


class SparseLookup:
    """Looks up columns of sparse rows without sorting: each row is scattered into a dense scratch row, which is zeroed afterwards."""

    def __init__(self) -> None:
        self._values: F32 = np.zeros(256, np.float32)

    def lookup(self, sparse_rows: Iterable[tuple[I32, F32]], columns: I64, size: int) -> F32:
        """Values [B, C] of each sparse row (column indices below `size`, values) at `columns` [B, C]; 0 for a column without an entry."""
        if size > len(self._values):
            self._values = grown(self._values, size)
        dense = self._values
        values = np.empty(columns.shape, np.float32)
        for index, (row_columns, row_values) in enumerate(sparse_rows):
            dense[row_columns] = row_values
            dense.take(columns[index], out=values[index], mode="clip")
            dense[row_columns] = 0.0
        return values


class FeatureContext:
    """One batch of B requests with up to C candidates each, and the state that features read.

    `rows` [B, C] are the candidates' catalogue rows, 0 for an unknown item and for columns without a candidate. `results` caches the
    functions decorated with `once_per_batch`.
    """

    def __init__(self, context: BatchContext, candidates: CandidateBatch, sparse: SparseLookup) -> None:
        self.batch = context.batch
        self.histories = context.batch.histories
        self.candidates = candidates
        self.rows = candidates.rows
        self.encoded = context.encoded
        self.catalogue = context.state.catalogue
        self.counts = context.state.counts
        self.table = context.state.table
        self.matrices = context.matrices
        self.orders = context.orders
        self.neighbours = context.neighbours
        self.results: dict[Callable[[FeatureContext], Any], Any] = {}
        self._sparse = sparse

    def lookup(self, matrix: Csr, rows: I64) -> F32:
        """Values [B, C] of `matrix` [B, size] at the catalogue rows `rows` [B, C] of each request."""
        return self._sparse.lookup(rows_of(matrix), rows, len(self.catalogue))
