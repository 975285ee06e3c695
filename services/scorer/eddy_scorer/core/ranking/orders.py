"""The first rows of an order that all users of a scenario share, less the rows that each request blocks."""

from collections.abc import Callable

import numpy as np

from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.state.arrays import I64, first_where
from eddy_scorer.core.state.orders import Orders

# Multiple of the quota that is searched first.
_FRONT = 4


def first_allowed(context: BatchContext, order_of: Callable[[Orders], I64], quota: int) -> I64:
    """Rows [B, quota] for each request, best first, padded with 0; `order_of` selects one of the orders of its scenario."""
    batch = context.batch
    out = np.zeros((len(batch), quota), np.int64)
    for scenario in set(batch.scenarios.tolist()):
        indices = np.flatnonzero(batch.scenarios == scenario)
        out[indices] = _first(context, scenario, indices, order_of(context.orders[scenario]), quota)
    return out


def _first(context: BatchContext, scenario: int, indices: I64, order: I64, quota: int) -> I64:
    """Search the front of the order first, which is enough for nearly every request."""
    eligible, blocked = context.state.catalogue.eligible, context.batch.blocked
    for rows in (order[: _FRONT * quota], order):
        # Eligibility is checked again: an item may have been withdrawn since the order was built.
        allowed = eligible[scenario, rows] & ~blocked[indices[:, None], rows]
        if len(rows) == len(order) or allowed.sum(axis=1).min() >= quota:
            break
    return first_where(rows, allowed, quota)
