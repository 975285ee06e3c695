"""The candidates of a batch: sources, merge, fill and exploration."""

import numpy as np

from eddy_scorer.core.ranking.batch import CandidateBatch
from eddy_scorer.core.ranking.candidates import (
    CandidateAdditions,
    CandidateAssembler,
    exploration_additions,
    given_additions,
)
from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.ranking.executor import SourceExecutor
from eddy_scorer.core.ranking.fill import popular_items, remaining_items
from eddy_scorer.core.ranking.filters import ExcludedFilter
from eddy_scorer.core.ranking.merge import SourceMerger
from eddy_scorer.core.ranking.request import Request
from eddy_scorer.core.sources.given import GivenSource
from eddy_scorer.core.sources.random import RandomSource
from eddy_scorer.core.state.arrays import I64
from eddy_scorer.core.state.scorer_state import ScorerState


class CandidatePipeline:
    """Runs all sources, merges their proposals, fills up, and adds the items of exploration or the request's own candidates."""

    def __init__(self, state: ScorerState, rng: np.random.Generator, executor: SourceExecutor) -> None:
        self._scenarios = state.scenarios
        self._executor = executor
        self._merge = SourceMerger(state.scenarios, executor.names)
        self._assembler = CandidateAssembler(executor.names)
        self._random = RandomSource(rng)
        self._given = GivenSource()
        self._rng = rng

    def candidates(self, context: BatchContext) -> CandidateBatch:
        """All candidates to rank for the batch."""
        batch = context.batch
        proposed = self._executor.find(context, self._merge.largest_quotas())
        limits = np.maximum(self._merge.candidates[batch.scenarios], [request.limit for request in batch.requests])
        limits[[request.candidates is not None for request in batch.requests]] = 0
        fill = popular_items(context, limits)
        rows, first = self._merge.merge(proposed, fill, batch.scenarios, limits)
        more_fill = remaining_items(context, rows, limits)
        if more_fill.any():
            rows, first = self._merge.merge(
                proposed, np.concatenate([fill, more_fill], axis=1), batch.scenarios, limits
            )
        additions = self._additions(context, rows)
        return self._assembler.candidates(rows, first, proposed, additions, self._rng.random(len(batch)).tolist())

    def _additions(self, context: BatchContext, merged: I64) -> list[CandidateAdditions]:
        requests = context.batch.requests
        sampled = self._random.sample(context, merged, [self._slots(request) for request in requests])
        return [
            exploration_additions(sampled[index], merged[index], self._random.name)
            if request.candidates is None
            else given_additions(self._given.of_request(context, index, self._excluded(request)), self._given.name)
            for index, request in enumerate(requests)
        ]

    def _slots(self, request: Request) -> int:
        """Number of exploration slots of a slate; a slate with one position, or of given candidates, has none."""
        slots = self._scenarios[request.scenario].exploration.random_slots
        return 0 if request.candidates is not None else min(slots, request.limit - 1)

    def _excluded(self, request: Request) -> frozenset[str]:
        applies = ExcludedFilter.name in self._scenarios[request.scenario].filters
        return frozenset(request.exclude) if applies else frozenset()
