"""The candidates of a batch as one value, out of the merged rows and what single requests add to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from eddy.contract.sources import FLAGGED_SOURCES, SOURCES
from eddy_scorer.core.ranking.batch import CandidateBatch
from eddy_scorer.core.ranking.merge import contained
from eddy_scorer.core.state.arrays import I64, Bool

# Popular items that fill up count as this source; their reason says that they are popular.
_FILL_SOURCE = "trending"


@dataclass(frozen=True, slots=True)
class CandidateAdditions:
    """What one request adds after its merged rows: `rows` of `source`.

    `draws` are the columns that an exploration slot takes, in that order. `unknown` names the items of the columns of row 0.
    """

    source: str
    rows: list[int]
    draws: list[int] = field(default_factory=list)
    unknown: dict[int, str] = field(default_factory=dict)


def drawn(rows: Sequence[int], merged: I64, source: str) -> CandidateAdditions:
    """Rows that were drawn for exploration, in order: those that are not `merged` [C] are added."""
    own = merged[merged > 0].tolist()
    extra = [row for row in rows if row not in own]
    columns = own + extra
    return CandidateAdditions(source, extra, [columns.index(row) for row in rows])


def named(rows: Sequence[tuple[int, str]], source: str) -> CandidateAdditions:
    """(row, item id) of a request that names its candidates and has no others; row 0 is an unknown item."""
    unknown = {column: item_id for column, (row, item_id) in enumerate(rows) if not row}
    return CandidateAdditions(source, [row for row, _ in rows], unknown=unknown)


class CandidateAssembler:
    """Puts Candidates together; `sources` are the names of the merged ones, by their number in the merge."""

    def __init__(self, sources: Sequence[str]) -> None:
        self._number = {name: number for number, name in enumerate(SOURCES)}
        self._numbers = np.array([self._number[name] for name in (*sources, _FILL_SOURCE)])

    def candidates(
        self,
        merged: I64,
        first: I64,
        brought: Mapping[str, I64],
        additions: Sequence[CandidateAdditions],
        coins: list[float],
    ) -> CandidateBatch:
        """`merged` and `first` [B, C] as the merge answers them, `brought` by each source, `additions` and `coins` of each request."""
        kept = (merged > 0).sum(axis=1).tolist()
        counts = [count + len(added.rows) for count, added in zip(kept, additions, strict=True)]
        rows = np.zeros((len(merged), max(*counts, 1)), np.int64)
        sources = np.zeros(rows.shape, np.int64)
        filled: Bool = np.zeros(rows.shape, bool)
        rows[:, : merged.shape[1]] = merged
        sources[:, : merged.shape[1]] = self._numbers[first]
        filled[:, : merged.shape[1]] = (first == len(self._numbers) - 1) & (merged > 0)
        for index, added in enumerate(additions):
            rows[index, kept[index] : counts[index]] = added.rows
            sources[index, kept[index] : counts[index]] = self._number[added.source]
        return CandidateBatch(
            rows=rows,
            valid=np.arange(rows.shape[1]) < np.array(counts)[:, None],
            counts=counts,
            sources=sources,
            filled=filled,
            proposed_by={name: contained(rows, brought[name]) & (rows > 0) for name in FLAGGED_SOURCES},
            draws=[added.draws for added in additions],
            coins=coins,
            merged_counts=kept,
            unknown={index: added.unknown for index, added in enumerate(additions) if added.unknown},
        )
