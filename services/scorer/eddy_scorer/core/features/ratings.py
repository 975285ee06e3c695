"""What a user's explicit ratings say of candidates: residuals, in the manner of bias and neighbourhood models.

A residual is a rating less the mean that others gave the item, as of now, less the user's bias, which is the mean of those differences
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

# Pseudo-counts: few ratings are drawn towards none.
PRIOR_RATINGS = 3.0
PRIOR_SLOPE_BY_VALUE = 0.3
PRIOR_SLOPE_BY_TOTAL = 20.0
PRIOR_LIKE = 1.0
USUAL_DEVIATION = 0.25


@dataclass(frozen=True, slots=True)
class Ratings:
    """Ratings of B users: which interactions have one (`given` [B, HISTORY], 1 or 0), their `residuals`, the user's `bias` and standard
    `deviation` [B], and how residuals depend on the items.

    `by_value` is the slope by the item's mean value less `usual_value`, `by_total` that by log1p of its actions less their mean
    `usual_total` [B].
    """

    given: F32
    residuals: F32
    bias: F32
    deviation: F32
    by_value: F32
    mean_rating: float
    by_total: F32
    usual_total: F32


@once_per_batch
def explicit_ratings(context: FeatureContext) -> Ratings:
    """Ratings in the histories, compared with what is known of their items."""
    return ratings_of(context.histories, context.counts)


def ratings_of(histories: UserHistories, counts: ItemCountTable) -> Ratings:
    given = histories.rated.astype(np.float32)
    number = given.sum(axis=1)
    means = counts.mean_ratings(histories.rows, without=histories.values, given=given)
    totals = counts.log_totals(histories.rows)
    differences = (histories.values - means) * given
    bias = differences.sum(axis=1) / (number + PRIOR_RATINGS)
    residuals = differences - bias[:, None] * given
    squares = (residuals**2).sum(axis=1) + np.float32(PRIOR_RATINGS * USUAL_DEVIATION**2)
    mean_rating, usual_total = counts.mean_rating, (totals * given).sum(axis=1) / np.maximum(number, 1)
    return Ratings(
        given=given,
        residuals=residuals,
        bias=bias,
        deviation=np.sqrt(squares / (number + PRIOR_RATINGS)),
        by_value=_slope(residuals, (means - np.float32(mean_rating)) * given, PRIOR_SLOPE_BY_VALUE),
        mean_rating=mean_rating,
        by_total=_slope(residuals, (totals - usual_total[:, None]) * given, PRIOR_SLOPE_BY_TOTAL),
        usual_total=usual_total,
    )


def _slope(residuals: F32, by: F32, prior: float) -> F32:
    """Of the regression of `residuals` on `by` [B, HISTORY], drawn towards 0."""
    return np.asarray((residuals * by).sum(axis=1) / ((by**2).sum(axis=1) + np.float32(prior)), np.float32)


@once_per_batch
def _mean_ratings(context: FeatureContext) -> F32:
    return context.counts.mean_ratings(context.rows)


@feature
def item_value(context: FeatureContext) -> F32:
    """Mean of the ratings (normalised values) of the item, all scenarios, drawn towards the usual one."""
    return _mean_ratings(context)


@feature
def user_bias(context: FeatureContext) -> F32:
    """The user's bias: mean of their ratings less what others gave each item, drawn towards 0."""
    return explicit_ratings(context).bias[:, None]


@feature
def user_rating_deviation(context: FeatureContext) -> F32:
    """Standard deviation of the ratings without the bias, drawn towards a quarter."""
    return explicit_ratings(context).deviation[:, None]


@feature
def quality_affinity(context: FeatureContext) -> F32:
    """Slope of the ratings by the items' mean values, times how far this item's is from the usual one."""
    ratings = explicit_ratings(context)
    return ratings.by_value[:, None] * (_mean_ratings(context) - np.float32(ratings.mean_rating))


@feature
def popularity_affinity(context: FeatureContext) -> F32:
    """Slope of the ratings by the items' log counts, times how far this item's is from the history's mean."""
    ratings, totals = explicit_ratings(context), np.log1p(candidate_counts(context).total)
    return np.asarray(ratings.by_total[:, None] * (totals - ratings.usual_total[:, None]))


@feature
def neighbour_rating(context: FeatureContext) -> F32:
    """Mean of the residuals of the history, weighted by the cosine of item rows where that is above 0."""
    ratings, vectors = explicit_ratings(context), context.table.vectors
    similarity = np.maximum(vectors[context.rows] @ vectors[context.histories.rows].transpose(0, 2, 1), 0)
    sums = similarity @ np.stack([ratings.residuals, ratings.given], axis=2)
    return np.asarray(sums[..., 0] / (sums[..., 1] + PRIOR_LIKE), np.float32)
