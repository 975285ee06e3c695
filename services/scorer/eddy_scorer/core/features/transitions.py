"""Probability that a candidate follows the user's last items."""

import numpy as np

from eddy_scorer.core.features.context import FeatureContext
from eddy_scorer.core.features.feature import feature, once_per_batch, rank_feature
from eddy_scorer.core.features.popularity import PRIOR_COUNT, candidate_counts
from eddy_scorer.core.state.arrays import F32

LAST_ITEMS = 5
DECAY = 0.6
_WEIGHTS: F32 = np.float32(DECAY) ** np.arange(LAST_ITEMS - 1, -1, -1, dtype=np.float32)
_WEIGHTS /= _WEIGHTS.sum()
_LAST_ONLY: F32 = np.eye(1, LAST_ITEMS, LAST_ITEMS - 1, dtype=np.float32)

# Pseudo-count: after an item with few transitions, popular items are the most probable.
PRIOR_TRANSITIONS = 5.0


@once_per_batch
def _probabilities(context: FeatureContext) -> tuple[F32, F32]:
    """Smoothed probability [B, C] of following the last item, and its weighted mean over the last LAST_ITEMS.

    p(b | a) = (transitions(a, b) + PRIOR * share(b)) / (transitions(a) + PRIOR): the first term by a sparse product, the second by sums.
    """
    matrices, rows, share = context.matrices, context.rows, _interaction_share(context)
    last = context.histories.rows[:, -LAST_ITEMS:]
    last = np.where(last < matrices.size, last, 0)
    scale = 1.0 / (matrices.transitions_from[last] + PRIOR_TRANSITIONS)
    weights = np.concatenate([scale * _LAST_ONLY, scale * _WEIGHTS])
    transitions = matrices.weighted_sum(matrices.transitions, np.concatenate([last, last]), weights)
    observed = context.lookup(transitions, np.concatenate([rows, rows]))
    prior = PRIOR_TRANSITIONS * weights.sum(axis=1)[:, None]
    smoothed = observed + np.concatenate([share, share]) * prior
    return smoothed[: len(rows)], smoothed[len(rows) :]


def _interaction_share(context: FeatureContext) -> F32:
    """Each candidate's smoothed share of the interactions in its scenario."""
    interactions = candidate_counts(context).interactions
    sums = np.array(
        [context.orders[scenario].interaction_sum for scenario in context.batch.scenarios.tolist()], np.float32
    )
    total = sums[:, None] + PRIOR_COUNT * len(context.catalogue)
    share: F32 = (interactions + PRIOR_COUNT) / np.maximum(total, interactions + PRIOR_COUNT)
    return share


@feature
def transition_last_1(context: FeatureContext) -> F32:
    """Smoothed log odds that the item follows the last item of the history."""
    return _log_odds(_probabilities(context)[0])


@feature
def transition_last_5(context: FeatureContext) -> F32:
    """Smoothed log odds over the last five items, decayed by position."""
    return _log_odds(_probabilities(context)[1])


@rank_feature
def transition_rank(context: FeatureContext) -> F32:
    """Rank by the probability over the last five items."""
    return _probabilities(context)[1]


def _log_odds(probability: F32) -> F32:
    bounded = np.clip(probability, 1e-7, 1 - 1e-3)
    odds: F32 = np.log(bounded / (1 - bounded))
    return odds
