"""From rankings to slates: policy, reasons, record."""

from dataclasses import dataclass

import numpy as np

from eddy.contract.model import Columns, hash_of_contract
from eddy.contract.records import Recommendations, RecommendedItem
from eddy.contract.sources import SOURCES
from eddy_scorer.core.ranking.batch import CandidateBatch
from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.ranking.policy import POLICY, SlateChoice, choose
from eddy_scorer.core.ranking.reasons import Reasons
from eddy_scorer.core.sources.random import RandomSource
from eddy_scorer.core.state.arrays import F32, I64
from eddy_scorer.core.state.scorer_state import ScorerState


@dataclass(frozen=True, slots=True)
class RankedCandidates:
    """Candidates with features [B, C, F], scores [B, C], predictions [B, C, actions] (None without a model), and ranking [B, C], best
    first."""

    candidates: CandidateBatch
    features: np.ndarray[tuple[int, int, int], np.dtype[np.float16]]
    scores: F32
    predictions: F32 | None
    actions: tuple[str, ...]
    ranking: I64


class SlateBuilder:
    """Builds `recommendations` records with the features of `columns`."""

    def __init__(self, state: ScorerState, reasons: Reasons, columns: Columns) -> None:
        self._state = state
        self._reasons = reasons
        self._contract = hash_of_contract()
        self._feature_names = list(columns.features)

    def build(
        self, context: BatchContext, ranked: RankedCandidates, model_version: int, served_at: int
    ) -> list[Recommendations]:
        """One record per request, in order."""
        batch = context.batch
        chosen = [self._choose(context, ranked, index) for index in range(len(batch))]
        reasons = self._reasons.of(context, ranked.candidates, chosen)
        for index, choice in enumerate(chosen):
            rows = ranked.candidates.rows[index, choice.columns]
            self._state.exposure.record(int(batch.scenarios[index]), rows)
        return [
            self._record(context, ranked, index, chosen[index], reasons[index], model_version, served_at)
            for index in range(len(batch))
        ]

    def _record(
        self,
        context: BatchContext,
        ranked: RankedCandidates,
        index: int,
        choice: SlateChoice,
        reasons: list[str],
        model_version: int,
        served_at: int,
    ) -> Recommendations:
        request, user = context.batch.requests[index], context.batch.users[index]
        candidates = self._item_ids(ranked.candidates, index)
        return {
            "request_id": request.request_id,
            "user_id": request.user_id,
            "scenario": request.scenario,
            "requested_at": request.requested_at,
            "served_at": served_at,
            "model_version": model_version,
            "policy": POLICY,
            "trigger": request.trigger,
            "applied_offset": user.applied_offset,
            "items": _items(ranked, index, candidates, choice, reasons),
            "considered": candidates,
            "features": ranked.features[index, : len(candidates)].tobytes(),
            "feature_names": self._feature_names,
            "prediction_names": list(ranked.actions),
            "contract": self._contract,
            "refusal": None,
            "history": self._state.users.snapshot(user),
        }

    def _choose(self, context: BatchContext, ranked: RankedCandidates, index: int) -> SlateChoice:
        request, candidates = context.batch.requests[index], ranked.candidates
        sampled = candidates.sampled[index]
        # An item that was added for exploration cannot win a position by its score.
        count = int(candidates.merged_counts[index]) if sampled else int(candidates.counts[index])
        ranking = [column for column in ranked.ranking[index].tolist() if column < count]
        rule = self._state.scenarios[request.scenario].exploration
        pool, uniform = context.batch.pool_sizes[index], candidates.uniforms[index]
        return choose(ranking, sampled, pool, request.limit, rule.random_slots, rule.probability, uniform)

    def _item_ids(self, candidates: CandidateBatch, index: int) -> list[str]:
        rows = candidates.rows[index, : candidates.counts[index]].tolist()
        item_ids = list(map(self._state.catalogue.ids.__getitem__, rows))
        for column, item_id in candidates.unknown.get(index, {}).items():
            item_ids[column] = item_id
        return item_ids


def _items(
    ranked: RankedCandidates, index: int, candidates: list[str], choice: SlateChoice, reasons: list[str]
) -> list[RecommendedItem]:
    columns = choice.columns
    scores = ranked.scores[index, columns].tolist()
    predictions = [[]] * len(columns) if ranked.predictions is None else ranked.predictions[index, columns].tolist()
    sources = [SOURCES[number] for number in ranked.candidates.sources[index, columns].tolist()]
    # A random item may be among the merged candidates too.
    sources[choice.ranked :] = [RandomSource.name] * (len(columns) - choice.ranked)
    parts = zip(columns, scores, predictions, choice.propensities, sources, reasons, strict=True)
    return [
        {
            "item_id": candidates[column],
            "position": position,
            "score": score,
            "predictions": predicted,
            "propensity": propensity,
            "source": source,
            "reason": reason,
        }
        for position, (column, score, predicted, propensity, source, reason) in enumerate(parts)
    ]
