"""The popularity fallback, which ranks while there is no model: co-visitation, then popularity and trend."""

from collections.abc import Sequence

import numpy as np

from eddy.contract.columns import column_map, take_columns
from eddy_scorer.core.state.arrays import F32

# Small, so that popularity decides only between items of equal co-visitation.
_POPULARITY = 0.01
_TREND = 0.01

_INPUTS = ("covisit_score", "popularity", "trend")


def fallback_scores(features: F32, names: Sequence[str]) -> F32:
    """Scores [B, C] of candidates with `features` [B, C, names]; a feature that is switched off counts as 0."""
    covisits, slow, fast = np.moveaxis(take_columns(features, column_map(_INPUTS, names, {}), 0.0), -1, 0)
    scores: F32 = covisits + np.float32(_POPULARITY) * slow + np.float32(_TREND) * fast
    return scores
