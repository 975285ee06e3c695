"""What matches the words or the meaning of a query."""

from collections.abc import Callable

import numpy as np

from eddy_scorer.core.ranking.batch import Batch
from eddy_scorer.core.state.arrays import F32, I64
from eddy_scorer.core.state.catalogue import Catalogue, words_of
from eddy_scorer.core.state.meaning import Meaning


class QuerySource:
    """The rows that the query leaves, by the share of its words that they have plus their likeness to it, then by popularity."""

    name = "query"

    def __init__(self, catalogue: Catalogue, meaning: Meaning, popularity: Callable[[int, I64], F32]) -> None:
        self._catalogue = catalogue
        self._meaning = meaning
        self._popularity = popularity

    def find(self, batch: Batch, quota: int) -> I64:
        """[B, quota], all 0 for requests without a query; no columns where no request has one."""
        asked = [(line, kept) for line, kept in enumerate(batch.kept) if kept is not None]
        found = np.zeros((len(batch), quota if asked else 0), np.int64)
        for line, kept in asked:
            rows = self._best(batch, line, kept)[:quota]
            found[line, : len(rows)] = rows
        return found

    def _best(self, batch: Batch, line: int, kept: I64) -> I64:
        scenario = int(batch.scenarios[line])
        rows = kept[self._catalogue.eligible[scenario, kept] & ~batch.blocked[line, kept]]
        query = batch.requests[line].query or ""
        shared = self._catalogue.matching(query)
        words = np.array([shared.get(row, 0) for row in rows.tolist()], np.int64)
        alike = self._meaning.likeness(query, rows)
        fit = words / max(1, len(words_of(query))) + alike
        order: I64 = np.lexsort((rows, -self._popularity(scenario, rows), -fit))
        return np.asarray(rows[order])
