"""Lists out of rankings: the policy, the words, the record."""

from dataclasses import dataclass

import numpy as np

from services.scorer.arrays import F32, I64, Bool
from services.scorer.batch import Batch, Candidates
from services.scorer.knowledge import Knowledge
from services.scorer.policy import POLICY, Place, choose
from services.scorer.reasons import Reasons
from shared.codec import Record
from shared.metrics import SOURCES
from shared.model_contract import hash_of_contract


@dataclass(frozen=True, slots=True)
class Ranked:
    """Candidates with features [B, C, F], scores [B, C], predictions [B, C, A] (None without a model), ranking [B, C] best first."""

    candidates: Candidates
    features: np.ndarray[tuple[int, int, int], np.dtype[np.float16]]
    scores: F32
    predictions: F32 | None
    ranking: I64


class Lists:
    """Builds `recommendations` records."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._reasons = Reasons(knowledge)
        self._contract = hash_of_contract()

    def build(self, batch: Batch, ranked: Ranked, model_version: int, served_at: int) -> list[Record]:
        """One record per request, in order."""
        chosen = [self._choose(batch, ranked, line) for line in range(len(batch))]
        reasons = self._reasons.of(batch, ranked.candidates, chosen)
        return [
            {
                "request_id": request.request_id,
                "user_id": request.user_id,
                "scenario": request.scenario,
                "requested_at": request.requested_at,
                "served_at": served_at,
                "model_version": model_version,
                "policy": POLICY,
                "trigger": request.trigger,
                "applied_offset": batch.users[line].applied_offset,
                "items": self._items(ranked, line, chosen[line], reasons[line]),
                "considered": self._names(ranked.candidates, line),
                "features": ranked.features[line, : _count(ranked.candidates.valid, line)].tobytes(),
                "contract": self._contract,
                "history": self._knowledge.users.snapshot(batch.users[line]),
            }
            for line, request in enumerate(batch.requests)
        ]

    def _choose(self, batch: Batch, ranked: Ranked, line: int) -> list[Place]:
        request = batch.requests[line]
        draws = ranked.candidates.draws[line]
        ranking = ranked.ranking[line, : _count(ranked.candidates.valid, line)].tolist()
        merged = int(ranked.candidates.merged[line])
        return choose(
            [column for column in ranking if column < merged] if draws else ranking,
            draws,
            batch.pool_sizes[line],
            request.limit,
            self._knowledge.scenarios[request.scenario].exploration.random_slots,
        )

    def _items(self, ranked: Ranked, line: int, places: list[Place], reasons: list[str]) -> list[Record]:
        columns = [place.candidate for place in places]
        names = self._names(ranked.candidates, line)
        scores = ranked.scores[line, columns].tolist()
        predictions = [[]] * len(columns) if ranked.predictions is None else ranked.predictions[line, columns].tolist()
        sources = ranked.candidates.sources[line, columns].tolist()
        return [
            {
                "item_id": names[place.candidate],
                "position": position,
                "score": scores[position],
                "predictions": predictions[position],
                "propensity": place.propensity,
                "source": "random" if place.explored else SOURCES[sources[position]],
                "reason": reasons[position],
            }
            for position, place in enumerate(places)
        ]

    def _names(self, candidates: Candidates, line: int) -> list[str]:
        ids = self._knowledge.catalogue.ids
        rows = candidates.rows[line, : _count(candidates.valid, line)].tolist()
        return [ids[row] if row else candidates.names[line, column] for column, row in enumerate(rows)]


def _count(valid: Bool, line: int) -> int:
    return int(valid[line].sum())
