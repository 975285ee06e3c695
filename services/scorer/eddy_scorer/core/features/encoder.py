"""What the encoder says of a candidate."""

import numpy as np

from eddy_scorer.core.features.context import FeatureContext
from eddy_scorer.core.features.feature import feature, once_per_batch, rank_feature
from eddy_scorer.core.state.arrays import F32, Bool


@once_per_batch
def _has_row(context: FeatureContext) -> Bool:
    return context.table.has_vector[context.rows]


@once_per_batch
def _scores(context: FeatureContext) -> F32:
    rows, table = context.rows, context.table
    if context.encoded is None:
        return np.zeros(rows.shape, np.float32)
    dots = (table.vectors[rows] @ context.encoded.users[:, :, None])[..., 0]
    return np.where(_has_row(context), dots + table.bias[rows], np.float32(0))


@feature
def encoder_score(context: FeatureContext) -> F32:
    """User vector . item row + bias; 0 without a model and for an item without a row."""
    return _scores(context)


@rank_feature
def encoder_rank(context: FeatureContext) -> F32:
    """By that score; items without a row come last."""
    return np.where(_has_row(context), _scores(context), np.float32(-np.inf))


@feature
def has_model(context: FeatureContext) -> F32:
    """1 when a release ranks the batch."""
    return np.full((1, 1), context.encoded is not None, np.float32)
