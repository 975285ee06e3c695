"""Lists out of rankings: the policy, the words, the record."""

from dataclasses import dataclass

import numpy as np

from eddy.contract.codec import Record
from eddy.contract.model import FEATURES, hash_of_contract
from eddy.contract.sources import SOURCES
from eddy_scorer.core.ranking.batch import Batch, Candidates
from eddy_scorer.core.ranking.policy import POLICY, Choice, choose
from eddy_scorer.core.ranking.reasons import Reasons
from eddy_scorer.core.sources.random import RandomSource
from eddy_scorer.core.state.arrays import F32, I64
from eddy_scorer.core.state.knowledge import Knowledge


@dataclass(frozen=True, slots=True)
class Ranked:
    """Candidates with features [B, C, F], scores [B, C], predictions [B, C, A] (None without a model), ranking [B, C] best first."""

    candidates: Candidates
    features: np.ndarray[tuple[int, int, int], np.dtype[np.float16]]
    scores: F32
    predictions: F32 | None
    ranking: I64


class Slates:
    """Builds `recommendations` records."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._reasons = Reasons(knowledge)
        self._contract = hash_of_contract()
        self._feature_names = list(FEATURES)

    def build(self, batch: Batch, ranked: Ranked, model_version: int, served_at: int) -> list[Record]:
        """One record per request, in order."""
        chosen = [self._choose(batch, ranked, line) for line in range(len(batch))]
        reasons = self._reasons.of(batch, ranked.candidates, chosen)
        for line, choice in enumerate(chosen):
            rows = ranked.candidates.rows[line, choice.columns]
            self._knowledge.exposure.listed(int(batch.scenarios[line]), rows)
        return [
            self._record(batch, ranked, line, chosen[line], reasons[line])
            | {"model_version": model_version, "served_at": served_at}
            for line in range(len(batch))
        ]

    def _record(self, batch: Batch, ranked: Ranked, line: int, choice: Choice, reasons: list[str]) -> Record:
        request, user = batch.requests[line], batch.users[line]
        considered = self._names(ranked.candidates, line)
        return {
            "request_id": request.request_id,
            "user_id": request.user_id,
            "scenario": request.scenario,
            "requested_at": request.requested_at,
            "policy": POLICY,
            "trigger": request.trigger,
            "applied_offset": user.applied_offset,
            "items": _items(ranked, line, considered, choice, reasons),
            "considered": considered,
            "features": ranked.features[line, : len(considered)].tobytes(),
            "feature_names": self._feature_names,
            "contract": self._contract,
            "refusal": None,
            "history": self._knowledge.users.snapshot(user),
        }

    def _choose(self, batch: Batch, ranked: Ranked, line: int) -> Choice:
        request, candidates = batch.requests[line], ranked.candidates
        draws = candidates.draws[line]
        # What was drawn and not considered anyway cannot win a place by its score.
        count = int(candidates.merged[line]) if draws else int(candidates.counts[line])
        ranking = [column for column in ranked.ranking[line].tolist() if column < count]
        rule = self._knowledge.scenarios[request.scenario].exploration
        pool, coin = batch.pool_sizes[line], candidates.coins[line]
        return choose(ranking, draws, pool, request.limit, rule.random_slots, rule.probability, coin)

    def _names(self, candidates: Candidates, line: int) -> list[str]:
        rows = candidates.rows[line, : candidates.counts[line]].tolist()
        names = list(map(self._knowledge.catalogue.ids.__getitem__, rows))
        for column in candidates.unknown.get(line, ()):
            names[column] = candidates.unknown[line][column]
        return names


def _items(ranked: Ranked, line: int, considered: list[str], choice: Choice, reasons: list[str]) -> list[Record]:
    columns = choice.columns
    scores = ranked.scores[line, columns].tolist()
    predictions = [[]] * len(columns) if ranked.predictions is None else ranked.predictions[line, columns].tolist()
    sources = [SOURCES[number] for number in ranked.candidates.sources[line, columns].tolist()]
    # A drawn item may have been considered for its own sake too.
    sources[choice.ranked :] = [RandomSource.name] * (len(columns) - choice.ranked)
    parts = zip(columns, scores, predictions, choice.propensities, sources, reasons, strict=True)
    return [
        {
            "item_id": considered[column],
            "position": position,
            "score": score,
            "predictions": predicted,
            "propensity": propensity,
            "source": source,
            "reason": reason,
        }
        for position, (column, score, predicted, propensity, source, reason) in enumerate(parts)
    ]
