"""The user's history, the same for all candidates of a request."""

import numpy as np

from eddy_scorer.core.features.context import FeatureContext
from eddy_scorer.core.features.feature import feature
from eddy_scorer.core.state.arrays import F32


@feature
def history_length(context: FeatureContext) -> F32:
    """log1p of the number of interactions in the history."""
    return np.asarray(np.log1p(context.histories.length)[:, None])


@feature
def history_gap(context: FeatureContext) -> F32:
    """log1p of seconds since the last interaction."""
    return np.asarray(np.log1p(context.histories.gaps[:, -1])[:, None])


@feature
def history_value(context: FeatureContext) -> F32:
    """Mean normalised value of the history."""
    length = np.maximum(context.histories.length, 1)
    return np.asarray((context.histories.values.sum(axis=1) / length)[:, None])


@feature
def last_value(context: FeatureContext) -> F32:
    """Normalised value of the last interaction."""
    return context.histories.values[:, -1:]
