"""Decayed counts of a candidate in the scenario, at the time of the request."""

import numpy as np

from eddy_scorer.core.features.context import FeatureContext
from eddy_scorer.core.features.feature import feature, once_per_batch, rank_feature
from eddy_scorer.core.state.arrays import F32
from eddy_scorer.core.state.counts import DecayedCounts

# Pseudo-counts: an item without counts gets what is usual, one with few is drawn towards it.
PRIOR_SHOWN = 20.0
PRIOR_SHARE = 0.05
PRIOR_COUNT = 0.1


@once_per_batch
def candidate_counts(context: FeatureContext) -> DecayedCounts:
    """Counts [B, C] of the candidates, decayed to each request's time."""
    batch, rows = context.batch, context.rows
    return context.counts.gather(rows, batch.scenarios, batch.at, context.catalogue.published_at[rows])


@feature
def popularity(context: FeatureContext) -> F32:
    """log1p of slow decayed actions."""
    return np.log1p(candidate_counts(context).acted)


@rank_feature
def popularity_rank(context: FeatureContext) -> F32:
    """By slow decayed actions."""
    return candidate_counts(context).acted


@feature
def trend(context: FeatureContext) -> F32:
    """log1p of fast decayed actions."""
    return np.log1p(candidate_counts(context).acted_fast)


@rank_feature
def trend_rank(context: FeatureContext) -> F32:
    """By fast decayed actions."""
    return candidate_counts(context).acted_fast


@feature
def velocity(context: FeatureContext) -> F32:
    """Log ratio of fast to slow counts."""
    counts = candidate_counts(context)
    return np.asarray(np.log((counts.acted_fast + PRIOR_COUNT) / (counts.acted + PRIOR_COUNT)))


@feature
def click_share(context: FeatureContext) -> F32:
    """Smoothed clicks per impression, log odds."""
    counts = candidate_counts(context)
    clicked = counts.clicked + PRIOR_SHARE * PRIOR_SHOWN
    ignored = np.maximum(counts.shown - counts.clicked, 0) + (1 - PRIOR_SHARE) * PRIOR_SHOWN
    return np.asarray(np.log(clicked / ignored))


@feature
def impressions(context: FeatureContext) -> F32:
    """log1p of decayed impressions."""
    return np.log1p(candidate_counts(context).shown)


@feature
def total_interactions(context: FeatureContext) -> F32:
    """log1p of actions ever, in all scenarios."""
    return np.log1p(candidate_counts(context).total)


@feature
def is_new(context: FeatureContext) -> F32:
    """1 when nobody has acted on the item."""
    return np.asarray(candidate_counts(context).total == 0, np.float32)


@feature
def item_age(context: FeatureContext) -> F32:
    """log1p of days since the item was first acted on or published."""
    return np.log1p(candidate_counts(context).age_days)
