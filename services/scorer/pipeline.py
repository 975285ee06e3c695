"""One batch through sources, merge and random draws: the considered candidates."""

import numpy as np

from services.scorer.arrays import I64, Bool
from services.scorer.batch import Batch, Candidates, Encoded
from services.scorer.covisits import Csr
from services.scorer.filters import ExcludedFilter
from services.scorer.knowledge import Knowledge
from services.scorer.merge import Merge, contained
from services.scorer.sources.covisited import CovisitedSource
from services.scorer.sources.encoder import EncoderSource
from services.scorer.sources.given import GivenSource
from services.scorer.sources.ordered import OrderedSource
from services.scorer.sources.query import QuerySource
from services.scorer.sources.random import RandomSource
from shared.metrics import SOURCES

# The order in which a candidate that several sources bring is credited follows the interleaving; this one numbers them.
BRINGING = ("query", "encoder", "covisited", "trending", "fresh")
_NUMBER = {name: number for number, name in enumerate(SOURCES)}
_NUMBERS = np.array([*[_NUMBER[name] for name in BRINGING], _NUMBER["trending"]])


class Pipeline:
    """Asks every source, merges, draws the random slot."""

    def __init__(self, knowledge: Knowledge, rng: np.random.Generator) -> None:
        self._knowledge = knowledge
        catalogue = knowledge.catalogue
        self._encoder = EncoderSource(catalogue)
        self._covisited = CovisitedSource(catalogue)
        self._trending = OrderedSource("trending", catalogue)
        self._fresh = OrderedSource("fresh", catalogue)
        self._popular = OrderedSource("popular", catalogue)
        self._random = RandomSource(catalogue, rng)
        self._query = QuerySource(catalogue, knowledge.popularity_of)
        self._given = GivenSource(catalogue)
        self._merge = Merge(knowledge.scenarios, BRINGING)
        self._slots = {s.id: s.exploration.random_slots for s in knowledge.scenarios.scenarios.values()}

    def neighbours(self, batch: Batch) -> Csr:
        """Co-visited items of the batch: both a source and a feature."""
        return self._covisited.neighbours(batch, self._knowledge.matrices)

    def candidates(self, batch: Batch, encoded: Encoded | None, neighbours: Csr) -> Candidates:
        """Everything that is ranked for the batch."""
        found = self._found(batch, encoded, neighbours)
        limits = np.maximum(self._merge.considered[batch.scenarios], [request.limit for request in batch.requests])
        limits[[request.candidates is not None for request in batch.requests]] = 0
        popular = {s: each.popular for s, each in self._knowledge.orders.items()}
        fill = self._popular.find(batch, popular, int(limits.max(initial=0)))
        rows, first = self._merge.merge(found, fill, batch.scenarios, limits)
        return self._complete(batch, rows, first, found)

    def _found(self, batch: Batch, encoded: Encoded | None, neighbours: Csr) -> dict[str, I64]:
        orders, largest = self._knowledge.orders, self._merge.largest
        return {
            "query": self._query.find(batch, largest("query")),
            "encoder": self._encoder.find(batch, encoded, largest("encoder")),
            "covisited": self._covisited.find(batch, neighbours, largest("covisited")),
            "trending": self._trending.find(
                batch, {s: each.trending for s, each in orders.items()}, largest("trending")
            ),
            "fresh": self._fresh.find(batch, {s: each.fresh for s, each in orders.items()}, largest("fresh")),
        }

    def _complete(self, batch: Batch, merged: I64, first: I64, found: dict[str, I64]) -> Candidates:
        """Add what single requests add: the random draws, or their own candidates instead."""
        extras: list[list[int]] = []
        draws: list[list[int]] = []
        names: dict[tuple[int, int], str] = {}
        for line, request in enumerate(batch.requests):
            if request.candidates is not None:
                given = self._given.find(batch, line, self._excluded(batch, line))
                names.update({(line, column): name for column, (row, name) in enumerate(given) if not row})
                extras.append([row for row, _ in given])
                draws.append([])
            else:
                drawn, extra = self._draw(batch, line, merged[line])
                extras.append(extra)
                draws.append(drawn)
        return self._assemble(merged, first, found, extras, draws, names)

    def _excluded(self, batch: Batch, line: int) -> frozenset[str]:
        request = batch.requests[line]
        wanted = ExcludedFilter.name in self._knowledge.scenarios[request.scenario].filters
        return frozenset(request.exclude) if wanted else frozenset()

    def _draw(self, batch: Batch, line: int, merged: I64) -> tuple[list[int], list[int]]:
        """Columns of the drawn items in order, and the rows among them that have to be added."""
        columns = {row: column for column, row in enumerate(merged.tolist()) if row}
        scenario = int(batch.scenarios[line])
        slots = min(self._slots[scenario], batch.requests[line].limit - 1)
        if slots <= 0:
            return [], []
        drawn = self._random.draw(batch, line, self._knowledge.orders[scenario].eligible, set(columns), slots)
        extra = [row for row in drawn if row not in columns]
        columns.update({row: len(columns) + place for place, row in enumerate(extra)})
        return [columns[row] for row in drawn], extra

    def _assemble(
        self,
        merged: I64,
        first: I64,
        found: dict[str, I64],
        extras: list[list[int]],
        draws: list[list[int]],
        names: dict[tuple[int, int], str],
    ) -> Candidates:
        counts = (merged > 0).sum(axis=1)
        width = max(int(counts[line]) + len(extra) for line, extra in enumerate(extras))
        rows = np.zeros((len(merged), max(width, 1)), np.int64)
        sources = np.zeros(rows.shape, np.int64)
        filled: Bool = np.zeros(rows.shape, bool)
        rows[:, : merged.shape[1]] = merged
        sources[:, : merged.shape[1]] = _NUMBERS[first]
        filled[:, : merged.shape[1]] = (first == len(BRINGING)) & (merged > 0)
        totals = counts.copy()
        for line, extra in enumerate(extras):
            start = int(counts[line])
            rows[line, start : start + len(extra)] = extra
            sources[line, start : start + len(extra)] = _NUMBER["random" if draws[line] else "given"]
            totals[line] += len(extra)
        return Candidates(
            rows=rows,
            valid=np.arange(rows.shape[1]) < totals[:, None],
            sources=sources,
            filled=filled,
            brought_by={
                name: contained(rows, found[name]) & (rows > 0) for name in ("encoder", "covisited", "trending")
            },
            draws=draws,
            merged=counts,
            names=names,
        )
