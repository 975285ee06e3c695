"""The candidates of a batch: sources, merge, fill, exploration. No source is named here."""

import numpy as np

from eddy_scorer.core.ranking.batch import CandidateBatch
from eddy_scorer.core.ranking.candidates import CandidateAdditions, CandidateAssembler, drawn, named
from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.ranking.executor import SourceExecutor
from eddy_scorer.core.ranking.fill import least_popular_too, popular
from eddy_scorer.core.ranking.filters import ExcludedFilter
from eddy_scorer.core.ranking.merge import SourceMerger
from eddy_scorer.core.ranking.request import Request
from eddy_scorer.core.sources.given import GivenSource
from eddy_scorer.core.sources.random import RandomSource
from eddy_scorer.core.state.arrays import I64
from eddy_scorer.core.state.scorer_state import ScorerState


class CandidatePipeline:
    """Asks every source, merges, fills up, and adds what exploration draws or what requests name themselves."""

    def __init__(self, state: ScorerState, rng: np.random.Generator, executor: SourceExecutor) -> None:
        self._scenarios = state.scenarios
        self._executor = executor
        self._merge = SourceMerger(state.scenarios, executor.names)
        self._assembly = CandidateAssembler(executor.names)
        self._random = RandomSource(rng)
        self._given = GivenSource()
        self._rng = rng

    def candidates(self, context: BatchContext) -> CandidateBatch:
        """Everything that is ranked for the batch."""
        batch = context.batch
        brought = self._executor.find(context, self._merge.largest_quotas())
        limits = np.maximum(self._merge.candidates[batch.scenarios], [request.limit for request in batch.requests])
        limits[[request.candidates is not None for request in batch.requests]] = 0
        fill = popular(context, limits)
        rows, first = self._merge.merge(brought, fill, batch.scenarios, limits)
        further = least_popular_too(context, rows, limits)
        if further.any():
            rows, first = self._merge.merge(brought, np.concatenate([fill, further], axis=1), batch.scenarios, limits)
        additions = self._additions(context, rows)
        return self._assembly.candidates(rows, first, brought, additions, self._rng.random(len(batch)).tolist())

    def _additions(self, context: BatchContext, merged: I64) -> list[CandidateAdditions]:
        requests = context.batch.requests
        draws = self._random.draw(context, merged, [self._slots(request) for request in requests])
        return [
            drawn(draws[index], merged[index], self._random.name)
            if request.candidates is None
            else named(self._given.of_request(context, index, self._excluded(request)), self._given.name)
            for index, request in enumerate(requests)
        ]

    def _slots(self, request: Request) -> int:
        """Exploration slots of a slate; one of a single position, or of given candidates, has none."""
        slots = self._scenarios[request.scenario].exploration.random_slots
        return 0 if request.candidates is not None else min(slots, request.limit - 1)

    def _excluded(self, request: Request) -> frozenset[str]:
        wanted = ExcludedFilter.name in self._scenarios[request.scenario].filters
        return frozenset(request.exclude) if wanted else frozenset()
