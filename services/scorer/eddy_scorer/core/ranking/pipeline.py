"""One batch through sources, merge and random draws: the considered candidates."""

import numpy as np

from eddy.contract.sources import SOURCES
from eddy_scorer.core.ranking.batch import Batch, Candidates, Encoded
from eddy_scorer.core.ranking.filters import ExcludedFilter
from eddy_scorer.core.ranking.merge import Merge, contained
from eddy_scorer.core.ranking.request import Request
from eddy_scorer.core.sources.covisited import CovisitedSource
from eddy_scorer.core.sources.encoder import EncoderSource
from eddy_scorer.core.sources.given import GivenSource
from eddy_scorer.core.sources.ordered import OrderedSource
from eddy_scorer.core.sources.query import QuerySource
from eddy_scorer.core.sources.random import RandomSource
from eddy_scorer.core.state.arrays import I64, Bool
from eddy_scorer.core.state.covisits import Csr
from eddy_scorer.core.state.knowledge import Knowledge

# The order in which a candidate that several sources bring is credited follows the interleaving; this one numbers them.
BRINGING = ("query", "encoder", "covisited", "trending", "fresh")
# Sources that the ranker is told of.
_FLAGGED = ("encoder", "covisited", "trending")
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
        self._rng = rng
        self._query = QuerySource(catalogue, knowledge.meaning, knowledge.popularity_of)
        self._given = GivenSource(catalogue)
        self._merge = Merge(knowledge.scenarios, BRINGING)

    def candidates(self, batch: Batch, encoded: Encoded | None, neighbours: Csr) -> Candidates:
        """Everything that is ranked for the batch."""
        found = self._found(batch, encoded, neighbours)
        limits = np.maximum(self._merge.considered[batch.scenarios], [request.limit for request in batch.requests])
        limits[[request.candidates is not None for request in batch.requests]] = 0
        popular = {s: each.popular for s, each in self._knowledge.orders.items()}
        fill = self._popular.find(batch, popular, int(limits.max(initial=0)))
        rows, first = self._merge.merge(found, fill, batch.scenarios, limits)
        further = self._further(batch, rows, limits)
        if further.any():
            rows, first = self._merge.merge(found, np.concatenate([fill, further], axis=1), batch.scenarios, limits)
        return self._complete(batch, rows, first, found)

    def _further(self, batch: Batch, rows: I64, limits: I64) -> I64:
        """[B, limit] what else may be recommended, for the few whom the sources and the front of the popular order leave short."""
        further = np.zeros((len(batch), int(limits.max(initial=0))), np.int64)
        for line in np.flatnonzero((rows > 0).sum(axis=1) < limits).tolist():
            scenario, kept = int(batch.scenarios[line]), batch.kept[line]
            pool = self._knowledge.orders[scenario].eligible if kept is None else kept
            eligible = self._knowledge.catalogue.eligible[scenario, pool]
            left = pool[eligible & ~batch.blocked[line, pool] & ~np.isin(pool, rows[line])]
            best = left[np.lexsort((left, -self._knowledge.popularity_of(scenario, left)))[: limits[line]]]
            further[line, : len(best)] = best
        return further

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
        """Add what single requests add: the rows that only the draw brings, or their own candidates instead."""
        eligible = {scenario: orders.eligible for scenario, orders in self._knowledge.orders.items()}
        drawn = self._random.draw(batch, eligible, merged, [self._places(request) for request in batch.requests])
        extras: list[list[int]] = []
        draws: list[list[int]] = []
        unknown: dict[int, dict[int, str]] = {}
        for line, request in enumerate(batch.requests):
            if request.candidates is not None:
                given = self._given.find(batch, line, self._excluded(batch, line))
                unknown[line] = {column: name for column, (row, name) in enumerate(given) if not row}
                extras.append([row for row, _ in given])
                draws.append([])
            else:
                columns, extra = _columns(drawn[line], merged[line])
                extras.append(extra)
                draws.append(columns)
        return self._assemble(merged, first, found, extras, draws, unknown)

    def _places(self, request: Request) -> int:
        """Random places of a list; one of a single place, or of given candidates, has none."""
        slots = self._knowledge.scenarios[request.scenario].exploration.random_slots
        return 0 if request.candidates is not None else min(slots, request.limit - 1)

    def _excluded(self, batch: Batch, line: int) -> frozenset[str]:
        request = batch.requests[line]
        wanted = ExcludedFilter.name in self._knowledge.scenarios[request.scenario].filters
        return frozenset(request.exclude) if wanted else frozenset()

    def _assemble(
        self,
        merged: I64,
        first: I64,
        found: dict[str, I64],
        extras: list[list[int]],
        draws: list[list[int]],
        unknown: dict[int, dict[int, str]],
    ) -> Candidates:
        kept = (merged > 0).sum(axis=1).tolist()
        counts = [count + len(extra) for count, extra in zip(kept, extras, strict=True)]
        rows = np.zeros((len(merged), max(*counts, 1)), np.int64)
        sources = np.zeros(rows.shape, np.int64)
        filled: Bool = np.zeros(rows.shape, bool)
        rows[:, : merged.shape[1]] = merged
        sources[:, : merged.shape[1]] = _NUMBERS[first]
        filled[:, : merged.shape[1]] = (first == len(BRINGING)) & (merged > 0)
        for line, extra in enumerate(extras):
            rows[line, kept[line] : counts[line]] = extra
            sources[line, kept[line] : counts[line]] = _NUMBER["random" if draws[line] else "given"]
        return Candidates(
            rows=rows,
            valid=np.arange(rows.shape[1]) < np.array(counts)[:, None],
            counts=counts,
            sources=sources,
            filled=filled,
            brought_by={name: contained(rows, found[name]) & (rows > 0) for name in _FLAGGED},
            draws=draws,
            coins=self._rng.random(len(draws)).tolist(),
            merged=kept,
            unknown=unknown,
        )


def _columns(drawn: list[int], merged: I64) -> tuple[list[int], list[int]]:
    """Columns of the drawn rows in order, and the rows among them that have to be added after `merged`."""
    considered = merged[merged > 0].tolist()
    extra = [row for row in drawn if row not in considered]
    return [(considered + extra).index(row) for row in drawn], extra
