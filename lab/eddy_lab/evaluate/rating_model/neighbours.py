"""Item neighbours by how users' opinions of two items go together, kept from event to event.

The covariance of residuals of users who rated both, in the manner of item-based collaborative filtering (Sarwar et al. 2001) with
shrinkage by the number of such users (Bell and Koren 2007).
"""

from collections.abc import Callable

import numpy as np

from eddy_cli.datasets import Dataset
from eddy_lab.evaluate.rating_model.state import F32, LAST, Bool, Lookback

SHRINKAGE = 60.0


def neighbour_features(
    data: Dataset,
    before: Lookback,
    residuals: F32,
    levels: F32,
    known: Bool,
    progress: Callable[[int], None] = lambda _: None,
) -> F32:
    """[N, 4]: what the user thought of the item's neighbours, weighed in three ways, and how well known the neighbours are."""
    size = len(data.item_ids)
    together, both = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
    found = np.zeros((len(data), 4), np.float32)
    for event, (item, trace) in enumerate(zip(data.items.tolist(), known.tolist(), strict=True)):
        count = min(int(before.count[event]), LAST)
        if count == 0:
            continue
        past = before.order[before.end[event] - count : before.end[event]]
        others, centred = data.items[past], residuals[past] - levels[event]
        met = both[item, others]
        weight = together[item, others] / (met + SHRINKAGE)
        strength = np.abs(weight)
        opinion = weight @ centred
        found[event] = (
            opinion / (strength.sum() + 0.3),
            10 * opinion / (count + 10),
            ((weight * strength) @ centred) / (strength @ strength + 0.02),
            np.log1p(met.sum() / count),
        )
        if trace:
            agreed = (residuals[event] - levels[event]) * centred
            together[item, others] += agreed
            together[others, item] += agreed
            both[item, others] += 1
            both[others, item] += 1
        if event % 1000 == 0:
            progress(event)
    return found
