"""The table that the model's graphs read: a vector and a bias for each item row, the bias by scenario."""

import numpy as np

from eddy.contract.model import DIM, MAX_SCENARIOS, PADDING_BIAS
from eddy_scorer.core.state.arrays import F32, FIRST_CAPACITY, I64, Bool, grown, grown_rows


class EmbeddingTable:
    """Vectors [capacity, DIM] and biases by item row.

    `bound_bias` [MAX_SCENARIOS, capacity] is what `encode` reads for requests of a scenario: PADDING_BIAS for rows that have no vector
    or may not be recommended there, so that they never are among the encoder's top. `bias` is the model's own for each row, 0 where it has
    none. Who follows the table sets `dirty` back; it says that a row or its eligibility changed.
    """

    def __init__(self) -> None:
        self.vectors: F32 = np.zeros((FIRST_CAPACITY, DIM), np.float32)
        self.bias: F32 = np.zeros(FIRST_CAPACITY, np.float32)
        self.scenario_bias: F32 = np.full((MAX_SCENARIOS, FIRST_CAPACITY), PADDING_BIAS, np.float32)
        self.has_vector: Bool = np.zeros(FIRST_CAPACITY, bool)
        self.dirty = False

    def ensure(self, size: int) -> None:
        """Make room for `size` rows."""
        if size > len(self.bias):
            self.vectors = grown_rows(self.vectors, size)
            self.bias = grown(self.bias, size)
            self.scenario_bias = grown(self.scenario_bias, size, PADDING_BIAS)
            self.has_vector = grown(self.has_vector, size, False)

    def assign(self, rows: I64, vectors: F32, bias: F32, eligible: Bool) -> None:
        """Set rows in place: `vectors` [R, DIM], `bias` [R]; `eligible` [MAX_SCENARIOS, R] says which may be recommended where."""
        self.ensure(int(rows.max(initial=0)) + 1)
        self.vectors[rows] = vectors
        self.bias[rows] = bias
        self.has_vector[rows] = True
        self.scenario_bias[:, rows] = np.where(eligible, bias, np.float32(PADDING_BIAS))
        self.dirty = True

    def drop(self, rows: I64) -> None:
        """Forget the vectors of rows that the trainer expired."""
        self.ensure(int(rows.max(initial=0)) + 1)
        self.vectors[rows] = 0.0
        self.bias[rows] = 0.0
        self.has_vector[rows] = False
        self.scenario_bias[:, rows] = PADDING_BIAS
        self.dirty = True

    def set_eligible(self, row: int, eligible: Bool) -> None:
        """Let the encoder's top hold the row in the scenarios that are `eligible` [MAX_SCENARIOS]."""
        self.ensure(row + 1)
        former = self.scenario_bias[:, row].copy()
        self.scenario_bias[:, row] = np.where(eligible & self.has_vector[row], self.bias[row], np.float32(PADDING_BIAS))
        self.dirty |= bool((self.scenario_bias[:, row] != former).any())

    def view(self, size: int, scenario: int) -> tuple[F32, F32]:
        """The first `size` rows as the graph's `table` and `bias` for requests of a scenario, over the same memory, padded to a multiple
        of FIRST_CAPACITY."""
        self.ensure(size)
        used = -(-size // FIRST_CAPACITY) * FIRST_CAPACITY
        return self.vectors[:used], self.scenario_bias[scenario, :used]
