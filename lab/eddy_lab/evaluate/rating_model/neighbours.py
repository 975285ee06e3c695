"""Item neighbours by the covariance of their ratings, updated after every event.

The covariance is of the residuals of users who rated both items, as in item-based collaborative filtering (Sarwar et al. 2001), shrunk by
the number of such users (Bell and Koren 2007).
"""

from collections.abc import Callable

import numpy as np

from eddy_cli.datasets import Dataset
from eddy_lab.evaluate.rating_model.state import F32, HISTORY, Bool, EarlierEvents

SHRINKAGE = 60.0


def neighbour_features(
    data: Dataset,
    earlier: EarlierEvents,
    residuals: F32,
    biases: F32,
    recorded: Bool,
    progress: Callable[[int], None] = lambda _: None,
) -> F32:
    """[N, 4]: the user's rating of the item's neighbours under three weightings, and how often the neighbours were rated together.

    `residuals` [N] of ratings, `biases` [N] of users; only `recorded` [N] events update the covariances.
    """
    size = len(data.item_ids)
    covariance, raters = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
    features = np.zeros((len(data), 4), np.float32)
    for event, (item, record) in enumerate(zip(data.items.tolist(), recorded.tolist(), strict=True)):
        count = min(int(earlier.count[event]), HISTORY)
        if count == 0:
            continue
        past = earlier.order[earlier.end[event] - count : earlier.end[event]]
        others, centred = data.items[past], residuals[past] - biases[event]
        common = raters[item, others]
        weight = covariance[item, others] / (common + SHRINKAGE)
        strength = np.abs(weight)
        rating = weight @ centred
        features[event] = (
            rating / (strength.sum() + 0.3),
            10 * rating / (count + 10),
            ((weight * strength) @ centred) / (strength @ strength + 0.02),
            np.log1p(common.sum() / count),
        )
        if record:
            product = (residuals[event] - biases[event]) * centred
            covariance[item, others] += product
            covariance[others, item] += product
            raters[item, others] += 1
            raters[others, item] += 1
        if event % 1000 == 0:
            progress(event)
    return features
