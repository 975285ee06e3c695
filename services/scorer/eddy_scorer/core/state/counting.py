"""The score that ranks while there is no model: co-visitation, then popularity and trend."""

import numpy as np

from eddy.contract.model import FEATURES
from eddy_scorer.core.state.arrays import F32

# Popularity decides only between items that the history says nothing about, or the same.
_POPULARITY = 0.01
_TREND = 0.01

_COVISITS, _SLOW, _FAST = (FEATURES.index(name) for name in ("covisit_score", "popularity", "trend"))


def counting_scores(features: F32) -> F32:
    """Scores [B, C] of candidates with `features` [B, C, len(FEATURES)]."""
    scores: F32 = (
        features[..., _COVISITS]
        + np.float32(_POPULARITY) * features[..., _SLOW]
        + np.float32(_TREND) * features[..., _FAST]
    )
    return scores
