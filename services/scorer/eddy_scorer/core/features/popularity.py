"""Decayed counts of a candidate in the scenario, at the time of the request."""

import numpy as np

from eddy_scorer.core.features.context import FeatureContext
from eddy_scorer.core.features.feature import feature, once_per_batch, rank_feature
from eddy_scorer.core.state.arrays import F32
from eddy_scorer.core.state.counts import DecayedCounts

# Pseudo-counts: an item without counts gets the prior, one with few is shrunk towards it.
PRIOR_IMPRESSIONS = 20.0
PRIOR_CLICK_RATE = 0.05
PRIOR_COUNT = 0.1


@once_per_batch
def candidate_counts(context: FeatureContext) -> DecayedCounts:
    """Counts [B, C] of the candidates, decayed to each request's time."""
    batch, rows = context.batch, context.rows
    born_at = context.catalogue.born_at(rows, context.counts.first_at[rows])
    return context.counts.gather(rows, batch.scenarios, batch.requested_at, born_at)


@feature
def popularity(context: FeatureContext) -> F32:
    """log1p of slowly decayed interactions."""
    return np.log1p(candidate_counts(context).interactions)


@rank_feature
def popularity_rank(context: FeatureContext) -> F32:
    """Rank by slowly decayed interactions."""
    return candidate_counts(context).interactions


@feature
def trend(context: FeatureContext) -> F32:
    """log1p of fast decayed interactions."""
    return np.log1p(candidate_counts(context).recent_interactions)


@rank_feature
def trend_rank(context: FeatureContext) -> F32:
    """Rank by fast decayed interactions."""
    return candidate_counts(context).recent_interactions


@feature
def velocity(context: FeatureContext) -> F32:
    """Log ratio of fast to slowly decayed interactions."""
    counts = candidate_counts(context)
    return np.asarray(np.log((counts.recent_interactions + PRIOR_COUNT) / (counts.interactions + PRIOR_COUNT)))


@feature
def click_share(context: FeatureContext) -> F32:
    """Log odds of the smoothed clicks per impression."""
    counts = candidate_counts(context)
    clicked = counts.clicks + PRIOR_CLICK_RATE * PRIOR_IMPRESSIONS
    ignored = np.maximum(counts.impressions - counts.clicks, 0) + (1 - PRIOR_CLICK_RATE) * PRIOR_IMPRESSIONS
    return np.asarray(np.log(clicked / ignored))


@feature
def impressions(context: FeatureContext) -> F32:
    """log1p of slowly decayed impressions."""
    return np.log1p(candidate_counts(context).impressions)


@feature
def total_interactions(context: FeatureContext) -> F32:
    """log1p of all interactions ever, in all scenarios."""
    return np.log1p(candidate_counts(context).total)


@feature
def is_new(context: FeatureContext) -> F32:
    """1 when no user has interacted with the item."""
    return np.asarray(candidate_counts(context).total == 0, np.float32)


@feature
def item_age(context: FeatureContext) -> F32:
    """log1p of days since the item was published or first interacted with."""
    return np.log1p(candidate_counts(context).age_days)
