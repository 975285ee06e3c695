"""How probable it is that a candidate follows the user's last items."""

import numpy as np

from eddy_scorer.core.features.context import FeatureContext
from eddy_scorer.core.features.feature import feature, once_per_batch, rank_feature
from eddy_scorer.core.features.popularity import PRIOR_COUNT, candidate_counts
from eddy_scorer.core.state.arrays import F32

LAST_ITEMS = 5
DECAY = 0.6
_WEIGHTS: F32 = np.float32(DECAY) ** np.arange(LAST_ITEMS - 1, -1, -1, dtype=np.float32)
_WEIGHTS /= _WEIGHTS.sum()
_LAST_ALONE: F32 = np.eye(1, LAST_ITEMS, LAST_ITEMS - 1, dtype=np.float32)

# Pseudo-count: an item with few transitions is followed by what is popular.
PRIOR_TRANSITIONS = 5.0


@once_per_batch
def _probabilities(context: FeatureContext) -> tuple[F32, F32]:
    """Smoothed probability [B, C] of following the very last item, and its weighted mean over the last LAST_ITEMS.

    p(b | a) = (transitions(a, b) + PRIOR usual(b)) / (transitions(a) + PRIOR): the first part by sparse product, the second by sums.
    """
    matrices, rows, usual = context.matrices, context.rows, _usual(context)
    last = context.histories.rows[:, -LAST_ITEMS:]
    counted = np.where(last < matrices.size, last, 0)
    shares = 1.0 / (matrices.transitions_from[counted] + PRIOR_TRANSITIONS)
    weights = np.concatenate([shares * _LAST_ALONE, shares * _WEIGHTS])
    following = matrices.from_history(matrices.transitions, np.concatenate([counted, counted]), weights)
    seen = context.lookup(following, np.concatenate([rows, rows]))
    prior = PRIOR_TRANSITIONS * weights.sum(axis=1)[:, None]
    smoothed = seen + np.concatenate([usual, usual]) * prior
    return smoothed[: len(rows)], smoothed[len(rows) :]


def _usual(context: FeatureContext) -> F32:
    """Each candidate's smoothed share of the actions in its scenario."""
    acted = candidate_counts(context).acted
    sums = np.array(
        [context.orders[scenario].interaction_sum for scenario in context.batch.scenarios.tolist()], np.float32
    )
    total = sums[:, None] + PRIOR_COUNT * len(context.catalogue)
    share: F32 = (acted + PRIOR_COUNT) / np.maximum(total, acted + PRIOR_COUNT)
    return share


@feature
def transition_last_1(context: FeatureContext) -> F32:
    """Log odds, smoothed, that the item follows the very last item."""
    return _log_odds(_probabilities(context)[0])


@feature
def transition_last_5(context: FeatureContext) -> F32:
    """The same over the last five, decayed by recency."""
    return _log_odds(_probabilities(context)[1])


@rank_feature
def transition_rank(context: FeatureContext) -> F32:
    """By the probability over the last five."""
    return _probabilities(context)[1]


def _log_odds(probability: F32) -> F32:
    bounded = np.clip(probability, 1e-7, 1 - 1e-3)
    odds: F32 = np.log(bounded / (1 - bounded))
    return odds
