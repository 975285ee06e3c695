"""Assembles the candidates of a batch from the merged rows and the additions of single requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from eddy.contract.sources import FLAGGED_SOURCES, SOURCES
from eddy_scorer.core.ranking.batch import CandidateBatch
from eddy_scorer.core.ranking.merge import contained
from eddy_scorer.core.state.arrays import I64, Bool

# Popular items that fill up are attributed to this source; their reason is `popular`.
_FILL_SOURCE = "trending"


@dataclass(frozen=True, slots=True)
class CandidateAdditions:
    """The rows of `source` that one request appends to its merged rows.

    `sampled` are the columns that exploration slots take, in that order. `unknown` are the item ids of the columns with row 0.
    """

    source: str
    rows: list[int]
    sampled: list[int] = field(default_factory=list)
    unknown: dict[int, str] = field(default_factory=dict)


def exploration_additions(rows: Sequence[int], merged: I64, source: str) -> CandidateAdditions:
    """The rows sampled for exploration, in order: those that are not among `merged` [C] are appended."""
    merged_rows = merged[merged > 0].tolist()
    added = [row for row in rows if row not in merged_rows]
    columns = merged_rows + added
    return CandidateAdditions(source, added, [columns.index(row) for row in rows])


def given_additions(rows: Sequence[tuple[int, str]], source: str) -> CandidateAdditions:
    """The (row, item id) pairs of a request that names its candidates; row 0 is an unknown item."""
    unknown = {column: item_id for column, (row, item_id) in enumerate(rows) if not row}
    return CandidateAdditions(source, [row for row, _ in rows], unknown=unknown)


class CandidateAssembler:
    """Builds CandidateBatch values. `sources` are the names of the merged sources, in the order of the merge."""

    def __init__(self, sources: Sequence[str]) -> None:
        self._index = {name: index for index, name in enumerate(SOURCES)}
        self._index_of_merged = np.array([self._index[name] for name in (*sources, _FILL_SOURCE)])

    def candidates(
        self,
        merged: I64,
        first: I64,
        proposed: Mapping[str, I64],
        additions: Sequence[CandidateAdditions],
        uniforms: list[float],
    ) -> CandidateBatch:
        """Combine `merged` and `first` [B, C] of the merge, the rows `proposed` by each source, and each request's additions."""
        merged_counts = (merged > 0).sum(axis=1).tolist()
        counts = [count + len(added.rows) for count, added in zip(merged_counts, additions, strict=True)]
        rows = np.zeros((len(merged), max(*counts, 1)), np.int64)
        sources = np.zeros(rows.shape, np.int64)
        filled: Bool = np.zeros(rows.shape, bool)
        rows[:, : merged.shape[1]] = merged
        sources[:, : merged.shape[1]] = self._index_of_merged[first]
        filled[:, : merged.shape[1]] = (first == len(self._index_of_merged) - 1) & (merged > 0)
        for index, added in enumerate(additions):
            rows[index, merged_counts[index] : counts[index]] = added.rows
            sources[index, merged_counts[index] : counts[index]] = self._index[added.source]
        return CandidateBatch(
            rows=rows,
            valid=np.arange(rows.shape[1]) < np.array(counts)[:, None],
            counts=counts,
            sources=sources,
            filled=filled,
            proposed_by={name: contained(rows, proposed[name]) & (rows > 0) for name in FLAGGED_SOURCES},
            sampled=[added.sampled for added in additions],
            uniforms=uniforms,
            merged_counts=merged_counts,
            unknown={index: added.unknown for index, added in enumerate(additions) if added.unknown},
        )
