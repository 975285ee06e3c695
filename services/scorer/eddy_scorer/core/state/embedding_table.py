"""The item embeddings that the model's graphs read: a vector and a bias for each catalogue row."""

import numpy as np

from eddy.contract.model import DIM, MAX_SCENARIOS, PADDING_BIAS
from eddy_scorer.core.state.arrays import F32, FIRST_CAPACITY, I64, Bool, grown, grown_rows


class EmbeddingTable:
    """Vectors [capacity, DIM] and biases by catalogue row.

    `bias` is the model's bias of each row, 0 without an embedding. `scenario_bias` [MAX_SCENARIOS, capacity] is the bias that `encode`
    reads for requests of a scenario: PADDING_BIAS for rows without an embedding or not eligible there, so that they are never among the
    encoder's top. `dirty` is set when an embedding or an eligibility changes; the reader of the changes resets it.
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
        """Set rows in place: `vectors` [R, DIM], `bias` [R], and the scenarios in which they are `eligible` [MAX_SCENARIOS, R]."""
        self.ensure(int(rows.max(initial=0)) + 1)
        self.vectors[rows] = vectors
        self.bias[rows] = bias
        self.has_vector[rows] = True
        self.scenario_bias[:, rows] = np.where(eligible, bias, np.float32(PADDING_BIAS))
        self.dirty = True

    def drop(self, rows: I64) -> None:
        """Drop the embeddings of rows that the trainer expired."""
        self.ensure(int(rows.max(initial=0)) + 1)
        self.vectors[rows] = 0.0
        self.bias[rows] = 0.0
        self.has_vector[rows] = False
        self.scenario_bias[:, rows] = PADDING_BIAS
        self.dirty = True

    def set_eligible(self, row: int, eligible: Bool) -> None:
        """Let the encoder propose the row in the `eligible` [MAX_SCENARIOS] scenarios only."""
        self.ensure(row + 1)
        former = self.scenario_bias[:, row].copy()
        self.scenario_bias[:, row] = np.where(eligible & self.has_vector[row], self.bias[row], np.float32(PADDING_BIAS))
        self.dirty |= bool((self.scenario_bias[:, row] != former).any())

    def view(self, size: int, scenario: int) -> tuple[F32, F32]:
        """The graph's `table` and `bias` for requests of a scenario: views of the first `size` rows, padded to a multiple of
        FIRST_CAPACITY."""
        self.ensure(size)
        padded = -(-size // FIRST_CAPACITY) * FIRST_CAPACITY
        return self.vectors[:padded], self.scenario_bias[scenario, :padded]
