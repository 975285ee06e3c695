"""Features from a user's explicit ratings: residuals, as in bias and neighbourhood models.

A residual is a rating less the mean rating that others gave the item, as of now, less the user bias, which is the mean of those differences
(Koren 2010, baseline predictors).
"""

from dataclasses import dataclass

import numpy as np

from eddy_scorer.core.features.context import FeatureContext
from eddy_scorer.core.features.feature import feature, once_per_batch
from eddy_scorer.core.features.popularity import candidate_counts
from eddy_scorer.core.state.arrays import F32
from eddy_scorer.core.state.counts import ItemCountTable
from eddy_scorer.core.state.users import UserHistories

# Pseudo-counts: with few ratings, estimates are shrunk towards 0 (the deviation towards PRIOR_DEVIATION).
PRIOR_RATINGS = 3.0
PRIOR_SLOPE_BY_MEAN = 0.3
PRIOR_SLOPE_BY_TOTAL = 20.0
PRIOR_SIMILARITY = 1.0
PRIOR_DEVIATION = 0.25


@dataclass(frozen=True, slots=True)
class Ratings:
    """Explicit ratings of B users.

    `mask` [B, HISTORY] is 1 for interactions with a rating, else 0; `residuals` [B, HISTORY] are 0 where it is 0. `bias` [B] is the user
    bias, `deviation` [B] the standard deviation of the residuals. `slope_by_mean` [B] is the slope of the residuals by the item's mean
    rating less `mean_rating`, and `slope_by_total` [B] by log1p of its interactions less their mean `mean_total` [B].
    """

    mask: F32
    residuals: F32
    bias: F32
    deviation: F32
    slope_by_mean: F32
    mean_rating: float
    slope_by_total: F32
    mean_total: F32


@once_per_batch
def history_ratings(context: FeatureContext) -> Ratings:
    """Ratings in the histories of the batch, compared with the mean ratings of their items."""
    return ratings_of(context.histories, context.counts)


def ratings_of(histories: UserHistories, counts: ItemCountTable) -> Ratings:
    mask = histories.rated.astype(np.float32)
    number = mask.sum(axis=1)
    means = counts.mean_ratings(histories.rows, without=histories.values, mask=mask)
    totals = counts.log_totals(histories.rows)
    differences = (histories.values - means) * mask
    bias = differences.sum(axis=1) / (number + PRIOR_RATINGS)
    residuals = differences - bias[:, None] * mask
    squares = (residuals**2).sum(axis=1) + np.float32(PRIOR_RATINGS * PRIOR_DEVIATION**2)
    mean_rating, mean_total = counts.mean_rating, (totals * mask).sum(axis=1) / np.maximum(number, 1)
    return Ratings(
        mask=mask,
        residuals=residuals,
        bias=bias,
        deviation=np.sqrt(squares / (number + PRIOR_RATINGS)),
        slope_by_mean=_slope(residuals, (means - np.float32(mean_rating)) * mask, PRIOR_SLOPE_BY_MEAN),
        mean_rating=mean_rating,
        slope_by_total=_slope(residuals, (totals - mean_total[:, None]) * mask, PRIOR_SLOPE_BY_TOTAL),
        mean_total=mean_total,
    )


def _slope(residuals: F32, by: F32, prior: float) -> F32:
    """Slope [B] of the regression of `residuals` on `by` [B, HISTORY], shrunk towards 0."""
    return np.asarray((residuals * by).sum(axis=1) / ((by**2).sum(axis=1) + np.float32(prior)), np.float32)


@once_per_batch
def _mean_ratings(context: FeatureContext) -> F32:
    return context.counts.mean_ratings(context.rows)


@feature
def item_value(context: FeatureContext) -> F32:
    """Mean explicit rating (normalised) of the item in all scenarios, shrunk towards the overall mean."""
    return _mean_ratings(context)


@feature
def user_bias(context: FeatureContext) -> F32:
    """User bias: mean of the user's ratings less those of others on the same items, shrunk towards 0."""
    return history_ratings(context).bias[:, None]


@feature
def user_rating_deviation(context: FeatureContext) -> F32:
    """Standard deviation of the user's ratings less the user bias, shrunk towards a quarter."""
    return history_ratings(context).deviation[:, None]


@feature
def quality_affinity(context: FeatureContext) -> F32:
    """Slope of the user's ratings by the items' mean ratings, times this item's mean less the overall mean."""
    ratings = history_ratings(context)
    return ratings.slope_by_mean[:, None] * (_mean_ratings(context) - np.float32(ratings.mean_rating))


@feature
def popularity_affinity(context: FeatureContext) -> F32:
    """Slope of the user's ratings by the items' `total_interactions`, times this item's less the mean of the history."""
    ratings, totals = history_ratings(context), np.log1p(candidate_counts(context).total)
    return np.asarray(ratings.slope_by_total[:, None] * (totals - ratings.mean_total[:, None]))


@feature
def neighbour_rating(context: FeatureContext) -> F32:
    """Mean residual of the user's ratings, weighted by the cosine of item embeddings where that is above 0."""
    ratings, vectors = history_ratings(context), context.table.vectors
    similarity = np.maximum(vectors[context.rows] @ vectors[context.histories.rows].transpose(0, 2, 1), 0)
    sums = similarity @ np.stack([ratings.residuals, ratings.mask], axis=2)
    return np.asarray(sums[..., 0] / (sums[..., 1] + PRIOR_SIMILARITY), np.float32)
