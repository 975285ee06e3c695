"""The encoder's best items of a large catalogue without looking at all of them: approximate nearest neighbours.

A graph of small worlds over the item rows (HNSW: Malkov and Yashunin 2018), by usearch, which this is the one place to touch. It may be a
little behind: rows are put in again once they have moved by more than MOVED, and what it finds is scored anew by the table as it is.
"""

from typing import Any

import numpy as np
from usearch.index import Index

from services.scorer.arrays import F32, I64, Bool, grown, grown_rows
from services.scorer.item_table import ItemTable
from shared.model_contract import DIM, PADDING_BIAS, PADDING_ROW

CONNECTIVITY = 16
EXPANSION = 128
MOVED = 0.1  # Euclidean, of unit vectors
PORTION = 32  # rows put in at once: a search waits for them


class NearestItems:
    """An index over the rows that some scenario may recommend. `follow` may run in another thread than `search`."""

    def __init__(self) -> None:
        self._index: Any = Index(
            ndim=DIM,
            metric="ip",
            dtype="f32",
            connectivity=CONNECTIVITY,
            expansion_add=EXPANSION,
            expansion_search=EXPANSION,
        )
        self._indexed: F32 = np.zeros((1, DIM), np.float32)
        self._inside: Bool = np.zeros(1, bool)
        self.ready = False

    def follow(self, table: ItemTable, size: int) -> int:
        """Bring the index up to the first `size` rows of the table; how many rows were put in."""
        self._ensure(size)
        vectors = table.vectors[:size].copy()
        wanted = table.bound_bias[:size] > PADDING_BIAS / 2
        wanted[PADDING_ROW] = False
        far = np.linalg.norm(vectors - self._indexed[:size], axis=1) > MOVED
        new = np.flatnonzero(wanted & (far | ~self._inside[:size]))
        stale = np.flatnonzero(self._inside[:size] & (far | ~wanted))
        for rows in _portions(stale):
            self._index.remove(rows.astype(np.uint64))
            self._inside[rows] = False
        for rows in _portions(new):
            self._index.add(rows.astype(np.uint64), vectors[rows], threads=1)
            self._inside[rows], self._indexed[rows] = True, vectors[rows]
        self.ready = bool(self._inside.any())
        return len(new)

    def search(self, users: F32, count: int, table: ItemTable) -> tuple[I64, F32]:
        """Rows [B, count] and their scores, best first; PADDING_ROW with PADDING_BIAS where there are no more."""
        found = self._index.search(users, count, threads=1)
        keys = np.asarray(found.keys, np.uint64).reshape(
            len(users), -1
        )  # of one user it answers a line as short as what it found
        counts = np.full(1, keys.shape[1]) if len(users) == 1 else found.counts
        there = np.arange(count) < counts[:, None]
        rows = np.full((len(users), count), PADDING_ROW, np.int64)
        rows[there] = keys[there[:, : keys.shape[1]]]
        scores = (table.vectors[rows] @ users[:, :, None])[..., 0] + table.bound_bias[rows]
        scores = np.where(there, scores, np.float32(PADDING_BIAS))
        order = np.argsort(-scores, axis=1, kind="stable")
        return np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1)

    def _ensure(self, size: int) -> None:
        self._indexed = grown_rows(self._indexed, size)
        self._inside = grown(self._inside, size, False)


def _portions(rows: I64) -> list[I64]:
    return [rows[start : start + PORTION] for start in range(0, len(rows), PORTION)]


def used_rows(history: I64, vectors: F32, least: int) -> tuple[F32, I64]:
    """The rows of `vectors` that `history` [B, L] mentions, padded to a multiple of `least`, and the history in their numbers."""
    mentioned, places = np.unique(np.append(history.ravel(), PADDING_ROW), return_inverse=True)
    size = -(-len(mentioned) // least) * least
    table = np.zeros((size, vectors.shape[1]), np.float32)
    table[: len(mentioned)] = vectors[mentioned]
    return table, places[:-1].reshape(history.shape).astype(np.int64)
