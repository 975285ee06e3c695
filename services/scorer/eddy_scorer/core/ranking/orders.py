"""The first rows of an order that is the same for everybody in a scenario, less what each request blocks."""

from collections.abc import Callable

import numpy as np

from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.state.arrays import I64, first_of
from eddy_scorer.core.state.orders import Orders

# Times the quota: how much of an order is looked at first.
_FRONT = 4


def first_of_orders(context: BatchContext, order_of: Callable[[Orders], I64], quota: int) -> I64:
    """Rows [B, quota] of each request's scenario, best first, padded with 0; `order_of` chooses one of the scenario's orders."""
    batch = context.batch
    out = np.zeros((len(batch), quota), np.int64)
    for scenario in set(batch.scenarios.tolist()):
        indices = np.flatnonzero(batch.scenarios == scenario)
        out[indices] = _first(context, scenario, indices, order_of(context.orders[scenario]), quota)
    return out


def _first(context: BatchContext, scenario: int, indices: I64, order: I64, quota: int) -> I64:
    """Nearly every request has enough at the very front."""
    eligible, blocked = context.state.catalogue.eligible, context.batch.blocked
    for rows in (order[: _FRONT * quota], order):
        # An order may be a moment old; an item withdrawn since must not come back.
        wanted = eligible[scenario, rows] & ~blocked[indices[:, None], rows]
        if len(rows) == len(order) or wanted.sum(axis=1).min() >= quota:
            break
    return first_of(rows, wanted, quota)
