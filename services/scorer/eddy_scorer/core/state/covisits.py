"""Co-visitation: which items occur together, from the last items that users had before each.

`item_features` of item b says, for each item a that users had before b, a decayed weight. Symmetric co-visitation of a and b is
root of weight(a before b) + weight(b before a), divided by (popularity(a) + SMOOTHING) ** ALPHA and (popularity(b) + SMOOTHING) ** ALPHA:
the strong counter of cli/eddy_cli/baselines.py, on what `item_features` keeps. Transitions are the one-way part from a
user's very last item.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias, cast

import numpy as np
import scipy.sparse as sparse

from eddy.contract.records import ItemFeatures
from eddy.errors import PoisonError
from eddy_scorer.core.state.arrays import F32, F64, FIRST_CAPACITY, I32, I64, Bool, grown
from eddy_scorer.core.state.catalogue import Catalogue

# Popularity normalisation: 0 ranks by how often two items meet, 1 by how much oftener than chance. Tuned on ML-1M as a stream.
ALPHA = 0.2
SMOOTHING = 3.0
# An item that everybody has goes with everything, a little: only its strongest neighbours are worth their time. On ML-1M the
# NDCG@10 of this score was .1278 with 128 of them, .1286 with 256 or all; the time of a slate follows their number.
MAX_NEIGHBOURS = 128

Csr: TypeAlias = "sparse.csr_array[np.float32, tuple[int, int]]"

_EDGE = np.dtype([("source", "<i4"), ("weight", "<f4"), ("transition", "<f4")])


@dataclass(frozen=True, slots=True)
class Matrices:
    """Co-visitation at event time `at` (milliseconds) over the first `size` rows, as CSR matrices [size, size].

    `covisitations[a, b]`: how strongly b goes with a. `transitions[a, b]`: decayed transitions from a to b, `transitions_from[a]` their sum
    over b.
    """

    covisitations: Csr
    transitions: Csr
    transitions_from: F32
    at: float
    size: int

    def from_history(self, matrix: Csr, rows: I64, weights: F32) -> Csr:
        """sum_i weights[..., i] * matrix[rows[:, i]]: [B, size], from `rows` [B, L] (0 and rows that came later count as nothing)."""
        known = (rows > 0) & (rows < self.size) & (weights > 0)
        starts = np.concatenate([[0], np.cumsum(known.sum(axis=1))]).astype(np.int32)
        chosen = np.broadcast_to(weights, rows.shape)[known]
        selection = sparse.csr_array(
            (chosen, rows[known].astype(np.int32), starts), shape=(len(rows), self.size), copy=False
        )
        return cast(Csr, selection @ matrix)


@dataclass(frozen=True, slots=True)
class Edges:
    """What `Matrices` are built from: frozen, so that another thread can build."""

    blobs: list[bytes]
    as_of: I64
    popularity: F64
    half_life_ms: F64


class CoVisits:
    """The edges of each item as packed bytes, and how old they are."""

    def __init__(self, half_lives_sec: Mapping[str, float]) -> None:
        """`half_lives_sec` of each scenario: an item that has counts in several remembers as long as the slowest of them."""
        self._half_lives_ms = {name: seconds * 1000.0 for name, seconds in half_lives_sec.items()}
        self._longest_ms = max(self._half_lives_ms.values())
        self._blobs: list[bytes] = [b""]
        self._half_life_ms: F64 = np.full(FIRST_CAPACITY, self._longest_ms)
        self.dirty = False

    def add_scenario(self, name: str, half_life_sec: float) -> None:
        """A scenario that is known from now on."""
        self._half_lives_ms[name] = half_life_sec * 1000.0
        self._longest_ms = max(self._half_lives_ms.values())

    def apply(self, row: int, record: ItemFeatures, catalogue: Catalogue) -> None:
        """Take in an `item_features` record. Raises PoisonError when its columns do not fit covisitations or are no weights."""
        names = record["covisited"]
        edges = np.empty(len(names), _EDGE)
        if not len(names) == len(record["covisit_weights"]) == len(record["transition_weights"]):
            raise PoisonError("bad_features", "the columns of `covisited` differ in length")
        edges["weight"] = record["covisit_weights"]
        edges["transition"] = record["transition_weights"]
        if not (np.isfinite(edges["weight"]).all() and np.isfinite(edges["transition"]).all()):
            raise PoisonError("bad_features", "a weight of `covisited` is not finite")
        edges["source"] = catalogue.ensure_rows(names)
        self._half_life_ms = grown(self._half_life_ms, row + 1, self._longest_ms)
        known = [
            self._half_lives_ms[each["scenario"]]
            for each in record["counts"]
            if each["scenario"] in self._half_lives_ms
        ]
        self._half_life_ms[row] = max(known, default=self._longest_ms)
        self._set(row, edges[edges["source"] != row].tobytes())

    def forget(self, row: int) -> None:
        """Drop the edges into a row."""
        self._set(row, b"")

    def edges(self, as_of: I64, popularity: F64) -> Edges:
        """The edges as they are now; `as_of` and `popularity` [size] by row."""
        size = len(popularity)
        self.dirty = False
        blobs = self._blobs[:size] + [b""] * (size - len(self._blobs))
        half_life_ms = grown(self._half_life_ms, size, self._longest_ms)[:size]
        return Edges(blobs, as_of[:size].copy(), popularity, half_life_ms.copy())

    def _set(self, row: int, blob: bytes) -> None:
        if row >= len(self._blobs):
            self._blobs.extend([b""] * (row + 1 - len(self._blobs)))
        self._blobs[row] = blob
        self.dirty = True


def matrices_of(edges: Edges) -> Matrices:
    """Build the matrices, everything decayed to the newest of `as_of`."""
    size = len(edges.blobs)
    lengths = np.array([len(blob) // _EDGE.itemsize for blob in edges.blobs])
    flat = np.frombuffer(b"".join(edges.blobs), _EDGE)
    at = float(edges.as_of.max(initial=0))
    fade = np.repeat(np.exp2((edges.as_of - at) / edges.half_life_ms).astype(np.float32), lengths)
    # Items that came after `size` was taken are left to the next time.
    known = flat["source"] < size
    after = _turned(flat["weight"] * fade, flat["source"], lengths, known, size)
    covisitations = (after + after.T.tocsr()).tocsr()
    scale = ((edges.popularity + SMOOTHING) ** -ALPHA).astype(np.float32)
    covisitations.data = (
        np.sqrt(covisitations.data) * scale[covisitations.indices] * np.repeat(scale, np.diff(covisitations.indptr))
    )
    transitions = _turned(flat["transition"] * fade, flat["source"], lengths, known & (flat["transition"] > 0), size)
    transitions_from = np.asarray(transitions.sum(axis=1), np.float32).ravel()
    return Matrices(strongest(covisitations), strongest(transitions), transitions_from, at, size)


def strongest(matrix: Csr, most: int = MAX_NEIGHBOURS) -> Csr:
    """`matrix` with the `most` largest entries of each row."""
    lengths = np.diff(matrix.indptr)
    kept = np.ones(matrix.nnz, bool)
    for row in np.flatnonzero(lengths > most).tolist():
        own = slice(matrix.indptr[row], matrix.indptr[row + 1])
        kept[own][np.argpartition(matrix.data[own], -most)[:-most]] = False
    starts = np.concatenate([[0], np.cumsum(np.minimum(lengths, most))])
    return sparse.csr_array((matrix.data[kept], matrix.indices[kept], starts), shape=matrix.shape)


def rows_of(matrix: Csr) -> Iterator[tuple[I32, F32]]:
    """Column indices and values of each row."""
    for start, end in pairwise(matrix.indptr.tolist()):
        yield matrix.indices[start:end], matrix.data[start:end]


def _turned(weights: F32, sources: I32, lengths: I64, kept: Bool, size: int) -> Csr:
    """CSR [size, size] of weight[source, target] from those edges that are `kept`; they come grouped by target, `lengths` of each."""
    before = np.concatenate([[0], np.cumsum(kept)])
    starts = before[np.concatenate([[0], np.cumsum(lengths)])]
    return sparse.csr_array((weights[kept], sources[kept], starts), shape=(size, size)).T.tocsr()
