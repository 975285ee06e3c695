"""Co-visitation of a candidate with the user's last items."""

import numpy as np

from eddy_scorer.core.features.context import FeatureContext
from eddy_scorer.core.features.feature import feature, once_per_batch, rank_feature
from eddy_scorer.core.state.arrays import F32


@once_per_batch
def _covisitation(context: FeatureContext) -> F32:
    batch = context.batch
    score = context.lookup(context.neighbours, context.rows)
    # The matrices are as of their own time. All entries decay alike and are square roots, hence half the exponent.
    half_lives = context.counts.covisit_ms[batch.scenarios]
    decay = np.exp2(-0.5 * np.maximum(batch.requested_at - context.matrices.at, 0) / half_lives)
    score *= decay[:, None].astype(np.float32)
    return score


@feature
def covisit_score(context: FeatureContext) -> F32:
    """log1p of the symmetric decayed co-visitation with the last 20 items, popularity normalised."""
    return np.log1p(_covisitation(context))


@rank_feature
def covisit_rank(context: FeatureContext) -> F32:
    """Rank by co-visitation."""
    return _covisitation(context)
