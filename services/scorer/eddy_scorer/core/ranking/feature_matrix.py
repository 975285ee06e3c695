"""The feature matrix of a batch, which is ranked and logged."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from eddy.contract.model import FEATURES
from eddy_scorer.core.features.context import FeatureContext, SparseLookup
from eddy_scorer.core.features.feature import Feature
from eddy_scorer.core.ranking.batch import CandidateBatch
from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.ranking.feature_registry import REGISTRY
from eddy_scorer.core.state.arrays import F32, Bool

# Largest magnitude: float16 ends at 65504.
_LIMIT = 60000.0


class FeatureMatrix:
    """Computes feature matrices. Its only state is scratch memory."""

    def __init__(self) -> None:
        self._sparse = SparseLookup()

    def compute(
        self, context: BatchContext, candidates: CandidateBatch, names: Sequence[str] = FEATURES
    ) -> NDArray[np.float16]:
        """Compute the features `names` in that order: [B, C, len(names)], rounded to float16.

        Raises KeyError for a name that is not in the contract.
        """
        state = context.state
        state.counts.ensure(len(state.catalogue))
        state.table.ensure(len(state.catalogue))
        plain, by_rank = _columns(tuple(names))
        values = FeatureContext(context, candidates, self._sparse)
        out = np.empty((*candidates.rows.shape, len(names)), np.float32)
        for column, each in plain:
            out[..., column] = each.compute(values)
        if by_rank:
            scores = np.stack([each.compute(values) for _, each in by_rank])
            out[..., [column for column, _ in by_rank]] = _ranks(scores, candidates.valid)
        return np.clip(out, -_LIMIT, _LIMIT).astype(np.float16)


@lru_cache
def _columns(names: tuple[str, ...]) -> tuple[list[tuple[int, Feature]], list[tuple[int, Feature]]]:
    """Column and feature of each name, first the values, then the ranks."""
    columns = [(column, REGISTRY[name]) for column, name in enumerate(names)]
    return [each for each in columns if not each[1].by_rank], [each for each in columns if each[1].by_rank]


def ranks(scores: F32) -> F32:
    """log1p of each score's rank in its row of `scores` [R, C], 0 for the best; ties keep their order."""
    order = np.argsort(-scores, axis=1, kind="stable")
    out = np.empty(scores.shape, np.float32)
    out[np.arange(len(scores))[:, None], order] = np.log1p(np.arange(scores.shape[1], dtype=np.float32))
    return out


def _ranks(scores: F32, valid: Bool) -> F32:
    """Ranks [B, C, S] by S scores [S, B, C] with one sort; columns that are not `valid` [B, C] come last."""
    stacked = np.where(valid, scores, np.float32(-np.inf))
    return np.moveaxis(ranks(stacked.reshape(-1, valid.shape[1])).reshape(stacked.shape), 0, -1)
