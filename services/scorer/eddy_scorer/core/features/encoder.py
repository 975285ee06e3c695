"""The encoder's score of a candidate."""

import numpy as np

from eddy_scorer.core.features.context import FeatureContext
from eddy_scorer.core.features.feature import feature, once_per_batch, rank_feature
from eddy_scorer.core.state.arrays import F32, Bool


@once_per_batch
def _has_embedding(context: FeatureContext) -> Bool:
    return context.table.has_vector[context.rows]


@once_per_batch
def _scores(context: FeatureContext) -> F32:
    rows, table = context.rows, context.table
    if context.encoded is None:
        return np.zeros(rows.shape, np.float32)
    dots = (table.vectors[rows] @ context.encoded.users[:, :, None])[..., 0]
    return np.where(_has_embedding(context), dots + table.bias[rows], np.float32(0))


@feature
def encoder_score(context: FeatureContext) -> F32:
    """User vector . item embedding + bias; 0 without a model and for an item without an embedding."""
    return _scores(context)


@rank_feature
def encoder_rank(context: FeatureContext) -> F32:
    """Rank by the encoder's score; items without an embedding come last."""
    return np.where(_has_embedding(context), _scores(context), np.float32(-np.inf))


@feature
def has_model(context: FeatureContext) -> F32:
    """1 when a release ranks the batch."""
    return np.full((1, 1), context.encoded is not None, np.float32)
