"""Co-visitation: how often items occur in the same histories.

`item_features` of item b has a decayed weight for each item a that users interacted with before b. Symmetric co-visitation of a and b is
the square root of weight(a before b) + weight(b before a), times (popularity + SMOOTHING) ** -ALPHA of both: the co-visitation baseline of
cli/eddy_cli/baselines.py, computed from `item_features`. Transitions are the one-way weights from the last item before b.
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

# Popularity normalisation: 0 ranks by co-occurrences, 1 by co-occurrences relative to chance. Tuned on ML-1M as a stream.
ALPHA = 0.2
SMOOTHING = 3.0
# Popular items have weak co-visitations with nearly all items, which cost time and change little. On ML-1M, NDCG@10 of this score
# was .1278 with 128 neighbours, .1286 with 256 or all; the time per slate grows with their number.
MAX_NEIGHBOURS = 128

Csr: TypeAlias = "sparse.csr_array[np.float32, tuple[int, int]]"

_EDGE = np.dtype([("source", "<i4"), ("weight", "<f4"), ("transition", "<f4")])


@dataclass(frozen=True, slots=True)
class Matrices:
    """Co-visitation at event time `at` (milliseconds) over the first `size` rows, as CSR matrices [size, size].

    `covisitations[a, b]`: co-visitation of a and b. `transitions[a, b]`: decayed transitions from a to b, `transitions_from[a]` their sum
    over b.
    """

    covisitations: Csr
    transitions: Csr
    transitions_from: F32
    at: float
    size: int

    def weighted_sum(self, matrix: Csr, rows: I64, weights: F32) -> Csr:
        """sum_i weights[..., i] * matrix[rows[:, i]]: [B, size], for `rows` [B, L]; row 0 and rows from `size` on are ignored."""
        valid = (rows > 0) & (rows < self.size) & (weights > 0)
        starts = np.concatenate([[0], np.cumsum(valid.sum(axis=1))]).astype(np.int32)
        values = np.broadcast_to(weights, rows.shape)[valid]
        selection = sparse.csr_array(
            (values, rows[valid].astype(np.int32), starts), shape=(len(rows), self.size), copy=False
        )
        return cast(Csr, selection @ matrix)


@dataclass(frozen=True, slots=True)
class Edges:
    """The input of `matrices_of`: a frozen copy, so that another thread can build the matrices."""

    packed: list[bytes]
    as_of: I64
    popularity: F64
    half_life_ms: F64


class CoVisits:
    """The co-visitation edges into each item as packed bytes, with the half-life of their weights."""

    def __init__(self, half_lives_sec: Mapping[str, float]) -> None:
        """`half_lives_sec` by scenario: an item with counts in several scenarios uses the longest half-life of them."""
        self._half_lives_ms = {name: seconds * 1000.0 for name, seconds in half_lives_sec.items()}
        self._longest_ms = max(self._half_lives_ms.values())
        self._packed: list[bytes] = [b""]
        self._half_life_ms: F64 = np.full(FIRST_CAPACITY, self._longest_ms)
        self.dirty = False

    def add_scenario(self, name: str, half_life_sec: float) -> None:
        """Add a scenario."""
        self._half_lives_ms[name] = half_life_sec * 1000.0
        self._longest_ms = max(self._half_lives_ms.values())

    def apply(self, row: int, record: ItemFeatures, catalogue: Catalogue) -> None:
        """Apply an `item_features` record. Raises PoisonError when its columns differ in length or a weight is not finite."""
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
        half_lives = [
            self._half_lives_ms[each["scenario"]]
            for each in record["counts"]
            if each["scenario"] in self._half_lives_ms
        ]
        self._half_life_ms[row] = max(half_lives, default=self._longest_ms)
        self._set(row, edges[edges["source"] != row].tobytes())

    def forget(self, row: int) -> None:
        """Drop the edges into a row."""
        self._set(row, b"")

    def drop_sources(self, rows: range, dropped: Bool) -> None:
        """Drop the edges into `rows` from the sources for which `dropped` is True."""
        for row in rows[: max(0, len(self._packed) - rows.start)]:
            edges = np.frombuffer(self._packed[row], _EDGE)
            sources = edges["source"]
            kept = ~dropped[np.minimum(sources, len(dropped) - 1)] | (sources >= len(dropped))
            if not kept.all():
                self._set(row, edges[kept].tobytes())

    def snapshot(self, as_of: I64, popularity: F64) -> Edges:
        """A copy of the current edges; `as_of` and `popularity` [size] are by row."""
        size = len(popularity)
        self.dirty = False
        packed = self._packed[:size] + [b""] * (size - len(self._packed))
        half_life_ms = grown(self._half_life_ms, size, self._longest_ms)[:size]
        return Edges(packed, as_of[:size].copy(), popularity, half_life_ms.copy())

    def _set(self, row: int, packed: bytes) -> None:
        if row >= len(self._packed):
            self._packed.extend([b""] * (row + 1 - len(self._packed)))
        self._packed[row] = packed
        self.dirty = True


def matrices_of(edges: Edges) -> Matrices:
    """Build the matrices, with all weights decayed to the newest `as_of`."""
    size = len(edges.packed)
    lengths = np.array([len(item_edges) // _EDGE.itemsize for item_edges in edges.packed])
    flat = np.frombuffer(b"".join(edges.packed), _EDGE)
    at = float(edges.as_of.max(initial=0))
    decay = np.repeat(np.exp2((edges.as_of - at) / edges.half_life_ms).astype(np.float32), lengths)
    # Items that were added after the copy was taken are left to the next build.
    valid = flat["source"] < size
    one_way = _transposed(flat["weight"] * decay, flat["source"], lengths, valid, size)
    covisitations = (one_way + one_way.T.tocsr()).tocsr()
    scale = ((edges.popularity + SMOOTHING) ** -ALPHA).astype(np.float32)
    covisitations.data = (
        np.sqrt(covisitations.data) * scale[covisitations.indices] * np.repeat(scale, np.diff(covisitations.indptr))
    )
    transitions = _transposed(
        flat["transition"] * decay, flat["source"], lengths, valid & (flat["transition"] > 0), size
    )
    transitions_from = np.asarray(transitions.sum(axis=1), np.float32).ravel()
    return Matrices(strongest(covisitations), strongest(transitions), transitions_from, at, size)


def strongest(matrix: Csr, limit: int = MAX_NEIGHBOURS) -> Csr:
    """`matrix` with only the `limit` largest entries of each row."""
    lengths = np.diff(matrix.indptr)
    kept = np.ones(matrix.nnz, bool)
    for row in np.flatnonzero(lengths > limit).tolist():
        entries = slice(matrix.indptr[row], matrix.indptr[row + 1])
        kept[entries][np.argpartition(matrix.data[entries], -limit)[:-limit]] = False
    starts = np.concatenate([[0], np.cumsum(np.minimum(lengths, limit))])
    return sparse.csr_array((matrix.data[kept], matrix.indices[kept], starts), shape=matrix.shape)


def rows_of(matrix: Csr) -> Iterator[tuple[I32, F32]]:
    """Column indices and values of each row."""
    for start, end in pairwise(matrix.indptr.tolist()):
        yield matrix.indices[start:end], matrix.data[start:end]


def _transposed(weights: F32, sources: I32, lengths: I64, kept: Bool, size: int) -> Csr:
    """CSR [size, size] of weight[source, target] from the edges where `kept` is True; edges are grouped by target, `lengths` of each."""
    before = np.concatenate([[0], np.cumsum(kept)])
    starts = before[np.concatenate([[0], np.cumsum(lengths)])]
    return sparse.csr_array((weights[kept], sources[kept], starts), shape=(size, size)).T.tocsr()
