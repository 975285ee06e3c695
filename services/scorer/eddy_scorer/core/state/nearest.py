"""The encoder's best items of a large catalogue without looking at all of them: approximate nearest neighbours.

A graph of small worlds over the item rows (HNSW: Malkov and Yashunin 2018), by usearch, which only this file touches. It may be a
little behind: rows are put in again once they have moved by more than MOVED, and what it finds is scored anew by the table as it is.
"""

from typing import Any

import numpy as np
import onnxruntime  # noqa: F401  # before usearch: the other way round the process ends by SIGSEGV (onnxruntime 1.32, usearch 2.26)
from usearch.index import Index

from eddy.contract.model import DIM, MAX_SCENARIOS, PADDING_BIAS, PADDING_ROW
from eddy_scorer.core.state.arrays import F32, I64, grown, grown_rows
from eddy_scorer.core.state.embedding_table import EmbeddingTable

CONNECTIVITY = 16
EXPANSION = 128
MAX_DRIFT = 0.1  # Euclidean, of unit vectors
CHUNK_ROWS = 32  # rows put in at once: a search waits for them
BITS = 1 << np.arange(MAX_SCENARIOS)


class NearestItems:
    """Indexes over the rows that may be recommended. `follow` may run in another thread than `search`.

    Rows that may be recommended in the same scenarios share an index, so that each row is kept once, and a search sees no others.
    """

    def __init__(self) -> None:
        self._indexes: dict[int, Any] = {}  # by their scenarios, a bit for each
        self._indexed: F32 = np.zeros((1, DIM), np.float32)
        self._row_groups: I64 = np.zeros(1, np.int64)  # the scenarios of the index that holds the row; 0 for none
        self.ready = False

    def update(self, table: EmbeddingTable, size: int) -> int:
        """Bring the indexes up to the first `size` rows of the table; how many rows were put in."""
        self._ensure(size)
        vectors, inside = table.vectors[:size].copy(), self._row_groups[:size].copy()
        wanted = BITS @ (table.scenario_bias[:, :size] > PADDING_BIAS / 2)
        wanted[PADDING_ROW] = 0
        far = np.linalg.norm(vectors - self._indexed[:size], axis=1) > MAX_DRIFT
        new = (wanted > 0) & (far | (inside != wanted))
        stale = (inside > 0) & (far | (inside != wanted))
        for scenarios in np.unique(wanted[new]).tolist():
            index = self._index_of(scenarios)
            for rows in _chunks(np.flatnonzero(new & (wanted == scenarios))):
                # Put in where it goes before it is taken out where it was: twice is no harm to a search, nowhere would be.
                self._remove(rows[inside[rows] == scenarios])
                index.add(rows.astype(np.uint64), vectors[rows], threads=1)
                moved = rows[(inside[rows] > 0) & (inside[rows] != scenarios)]
                self._remove(moved)
                self._row_groups[rows], self._indexed[rows] = scenarios, vectors[rows]
        for rows in _chunks(np.flatnonzero(stale & (wanted == 0))):
            self._remove(rows)
        self._indexes = {scenarios: index for scenarios, index in self._indexes.items() if len(index)}
        self.ready = bool(self._indexes)
        return int(np.count_nonzero(new))

    def search(self, users: F32, scenario: int, count: int, table: EmbeddingTable) -> tuple[I64, F32]:
        """Rows [B, count] of a scenario and their scores, best first; PADDING_ROW with PADDING_BIAS where there are no more."""
        matches = [
            _search(index, users, count) for scenarios, index in self._indexes.items() if scenarios >> scenario & 1
        ]
        rows = np.sort(np.concatenate([*matches, np.full((len(users), count), PADDING_ROW, np.int64)], axis=1), axis=1)
        rows[:, 1:][rows[:, 1:] == rows[:, :-1]] = PADDING_ROW
        scores = (table.vectors[rows] @ users[:, :, None])[..., 0] + table.scenario_bias[scenario, rows]
        order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        return np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1)

    def _index_of(self, scenarios: int) -> Any:
        if scenarios not in self._indexes:
            self._indexes = self._indexes | {scenarios: _new_index()}
        return self._indexes[scenarios]

    def _remove(self, rows: I64) -> None:
        for scenarios in np.unique(self._row_groups[rows]).tolist():
            self._indexes[scenarios].remove(rows[self._row_groups[rows] == scenarios].astype(np.uint64))
        self._row_groups[rows] = 0

    def _ensure(self, size: int) -> None:
        self._indexed = grown_rows(self._indexed, size)
        self._row_groups = grown(self._row_groups, size)


def _new_index() -> Any:
    return Index(
        ndim=DIM,
        metric="ip",
        dtype="f32",
        connectivity=CONNECTIVITY,
        expansion_add=EXPANSION,
        expansion_search=EXPANSION,
    )


def _search(index: Any, users: F32, count: int) -> I64:
    """Rows [B, count] that an index finds, PADDING_ROW where there are no more."""
    matches = index.search(users, count, threads=1)
    # Of one user it answers a row as short as its matches.
    keys = np.asarray(matches.keys, np.uint64).reshape(len(users), -1)
    counts = np.full(1, keys.shape[1]) if len(users) == 1 else matches.counts
    there = np.arange(count) < counts[:, None]
    rows = np.full((len(users), count), PADDING_ROW, np.int64)
    rows[there] = keys[there[:, : keys.shape[1]]]
    return rows


def _chunks(rows: I64) -> list[I64]:
    return [rows[start : start + CHUNK_ROWS] for start in range(0, len(rows), CHUNK_ROWS)]


def compact_rows(history: I64, vectors: F32, least: int) -> tuple[F32, I64]:
    """The rows of `vectors` that `history` [B, L] mentions, padded to a multiple of `least`, and the history in their numbers."""
    mentioned, numbers = np.unique(np.append(history.ravel(), PADDING_ROW), return_inverse=True)
    size = -(-len(mentioned) // least) * least
    table = np.zeros((size, vectors.shape[1]), np.float32)
    table[: len(mentioned)] = vectors[mentioned]
    return table, numbers[:-1].reshape(history.shape).astype(np.int64)
