"""What a user's values say of candidates: ranking features by residuals, in the manner of bias and neighbourhood models.

An opinion is a value less the mean that others gave its item, as of now; a user's level is the mean of their opinions, and what is
left of an opinion without the level is what they thought of that item and not of others (Koren 2010, baseline predictors).
"""

from dataclasses import dataclass

import numpy as np

from eddy_scorer.core.state.arrays import F32, I64
from eddy_scorer.core.state.counts import ItemCounts
from eddy_scorer.core.state.users import Histories

# Pseudo-counts: few opinions are drawn towards none.
PRIOR_OPINIONS = 3.0
PRIOR_SLOPE_BY_VALUE = 0.3
PRIOR_SLOPE_BY_TOTAL = 20.0
PRIOR_LIKE = 1.0
USUAL_SPREAD = 0.25


@dataclass(frozen=True, slots=True)
class Opinions:
    """Of B users: which interactions are opinions (`there` [B, HISTORY], 1 or 0), each less the level (`centred`); the level and the
    spread of them [B]; and how they go with what is known of their items [B].

    `by_value` is the slope by the item's mean value less `usual_value`, `by_total` that by log1p of its actions less their mean
    `usual_total` [B].
    """

    there: F32
    centred: F32
    level: F32
    spread: F32
    by_value: F32
    usual_value: float
    by_total: F32
    usual_total: F32


def opinions_of(histories: Histories, counts: ItemCounts) -> Opinions:
    """From the values of `histories`, beside what is known of their items."""
    there = histories.opinions.astype(np.float32)
    number = there.sum(axis=1)
    means = counts.mean_values(histories.rows, without=histories.values, there=there)
    totals = counts.log_totals(histories.rows)
    opinions = (histories.values - means) * there
    level = opinions.sum(axis=1) / (number + PRIOR_OPINIONS)
    centred = opinions - level[:, None] * there
    squares = (centred**2).sum(axis=1) + np.float32(PRIOR_OPINIONS * USUAL_SPREAD**2)
    usual_value, usual_total = counts.usual_value, (totals * there).sum(axis=1) / np.maximum(number, 1)
    return Opinions(
        there=there,
        centred=centred,
        level=level,
        spread=np.sqrt(squares / (number + PRIOR_OPINIONS)),
        by_value=_slope(centred, (means - np.float32(usual_value)) * there, PRIOR_SLOPE_BY_VALUE),
        usual_value=usual_value,
        by_total=_slope(centred, (totals - usual_total[:, None]) * there, PRIOR_SLOPE_BY_TOTAL),
        usual_total=usual_total,
    )


def of_neighbours(opinions: Opinions, history: I64, rows: I64, vectors: F32) -> F32:
    """Mean [B, C] of the opinions on `history` [B, HISTORY], weighed by their cosine to `rows` [B, C] where that is above 0.

    `vectors` [N, DIM] are unit vectors.
    """
    likeness = np.maximum(vectors[rows] @ vectors[history].transpose(0, 2, 1), 0)
    sums = likeness @ np.stack([opinions.centred, opinions.there], axis=2)
    return np.asarray(sums[..., 0] / (sums[..., 1] + PRIOR_LIKE), np.float32)


def _slope(centred: F32, moved: F32, prior: float) -> F32:
    """Of the regression of `centred` on `moved` [B, HISTORY], drawn towards 0."""
    return np.asarray((centred * moved).sum(axis=1) / ((moved**2).sum(axis=1) + np.float32(prior)), np.float32)
