"""Approximate nearest neighbours: the encoder's best items of a large catalogue without scoring every embedding.

An HNSW index (Malkov and Yashunin 2018) over the item embeddings, by usearch, which only this file uses. The index may be slightly out of
date: an embedding is inserted again once it has moved by more than MAX_DRIFT, and matches are scored with the current embeddings.
"""

from typing import Any

import numpy as np
import onnxruntime  # noqa: F401  # before usearch: importing it after usearch crashes with SIGSEGV (onnxruntime 1.32, usearch 2.26)
from usearch.index import Index

from eddy.contract.model import DIM, MAX_SCENARIOS, PADDING_BIAS, PADDING_ROW
from eddy_scorer.core.state.arrays import F32, I64, grown, grown_rows
from eddy_scorer.core.state.embedding_table import EmbeddingTable

CONNECTIVITY = 16
EXPANSION = 128
MAX_DRIFT = 0.1  # Euclidean distance of unit vectors
CHUNK_ROWS = 32  # rows inserted at once, for which a search has to wait
_SCENARIO_BITS = 1 << np.arange(MAX_SCENARIOS)


class NearestItems:
    """Indexes over the rows that may be recommended. `update` may run in another thread than `search`.

    Rows that are eligible in the same scenarios share an index, so that each row is stored once and a search finds eligible rows only.
    """

    def __init__(self) -> None:
        self._indexes: dict[int, Any] = {}  # by group: the scenarios of its rows, one bit each
        self._indexed: F32 = np.zeros((1, DIM), np.float32)
        self._row_groups: I64 = np.zeros(1, np.int64)  # the group of each indexed row, 0 for none
        self.ready = False

    def update(self, table: EmbeddingTable, size: int) -> int:
        """Bring the indexes up to date with the first `size` rows of `table`. Returns the number of rows inserted."""
        self._ensure(size)
        vectors, current = table.vectors[:size].copy(), self._row_groups[:size].copy()
        target = _SCENARIO_BITS @ (table.scenario_bias[:, :size] > PADDING_BIAS / 2)
        target[PADDING_ROW] = 0
        drifted = np.linalg.norm(vectors - self._indexed[:size], axis=1) > MAX_DRIFT
        new = (target > 0) & (drifted | (current != target))
        stale = (current > 0) & (drifted | (current != target))
        for group in np.unique(target[new]).tolist():
            index = self._index_of(group)
            for rows in _chunks(np.flatnonzero(new & (target == group))):
                # Insert into the new index before removing from the old one: a search must not miss the row; it drops duplicates.
                self._remove(rows[current[rows] == group])
                index.add(rows.astype(np.uint64), vectors[rows], threads=1)
                moved = rows[(current[rows] > 0) & (current[rows] != group)]
                self._remove(moved)
                self._row_groups[rows], self._indexed[rows] = group, vectors[rows]
        for rows in _chunks(np.flatnonzero(stale & (target == 0))):
            self._remove(rows)
        self._indexes = {group: index for group, index in self._indexes.items() if len(index)}
        self.ready = bool(self._indexes)
        return int(np.count_nonzero(new))

    def search(self, users: F32, scenario: int, count: int, table: EmbeddingTable) -> tuple[I64, F32]:
        """The best rows [B, count] of a scenario and their scores, best first, padded with PADDING_ROW and PADDING_BIAS."""
        matches = [_search(index, users, count) for group, index in self._indexes.items() if group >> scenario & 1]
        rows = np.sort(np.concatenate([*matches, np.full((len(users), count), PADDING_ROW, np.int64)], axis=1), axis=1)
        rows[:, 1:][rows[:, 1:] == rows[:, :-1]] = PADDING_ROW
        scores = (table.vectors[rows] @ users[:, :, None])[..., 0] + table.scenario_bias[scenario, rows]
        order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        return np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1)

    def _index_of(self, group: int) -> Any:
        if group not in self._indexes:
            self._indexes = self._indexes | {group: _new_index()}
        return self._indexes[group]

    def _remove(self, rows: I64) -> None:
        for group in np.unique(self._row_groups[rows]).tolist():
            self._indexes[group].remove(rows[self._row_groups[rows] == group].astype(np.uint64))
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
    """The rows [B, count] that an index finds, padded with PADDING_ROW."""
    matches = index.search(users, count, threads=1)
    # For one user, usearch returns a row with only the matches, without padding.
    keys = np.asarray(matches.keys, np.uint64).reshape(len(users), -1)
    counts = np.full(1, keys.shape[1]) if len(users) == 1 else matches.counts
    is_match = np.arange(count) < counts[:, None]
    rows = np.full((len(users), count), PADDING_ROW, np.int64)
    rows[is_match] = keys[is_match[:, : keys.shape[1]]]
    return rows


def _chunks(rows: I64) -> list[I64]:
    return [rows[start : start + CHUNK_ROWS] for start in range(0, len(rows), CHUNK_ROWS)]


def compact_rows(history: I64, vectors: F32, multiple: int) -> tuple[F32, I64]:
    """The rows of `vectors` that occur in `history` [B, L], padded to a multiple of `multiple`, and the history as indices into them."""
    used, indices = np.unique(np.append(history.ravel(), PADDING_ROW), return_inverse=True)
    size = -(-len(used) // multiple) * multiple
    table = np.zeros((size, vectors.shape[1]), np.float32)
    table[: len(used)] = vectors[used]
    return table, indices[:-1].reshape(history.shape).astype(np.int64)
