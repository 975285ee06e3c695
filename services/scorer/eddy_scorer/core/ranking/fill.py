"""Popular items in the positions that the sources leave open."""

import numpy as np

from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.ranking.orders import first_of_orders
from eddy_scorer.core.state.arrays import I64


def popular(context: BatchContext, limits: I64) -> I64:
    """Rows [B, F] from the front of each scenario's popular order; F is the largest of `limits` [B]."""
    return first_of_orders(context, lambda orders: orders.popular, int(limits.max(initial=0)))


def least_popular_too(context: BatchContext, merged: I64, limits: I64) -> I64:
    """Rows [B, F] of everything else that may be recommended, for the few requests that still have less than `limits`."""
    state, batch = context.state, context.batch
    out = np.zeros((len(batch), int(limits.max(initial=0))), np.int64)
    for index in np.flatnonzero((merged > 0).sum(axis=1) < limits).tolist():
        scenario, kept = int(batch.scenarios[index]), batch.kept[index]
        pool = context.orders[scenario].eligible if kept is None else kept
        eligible = state.catalogue.eligible[scenario, pool]
        left = pool[eligible & ~batch.blocked[index, pool] & ~np.isin(pool, merged[index])]
        best = left[np.lexsort((left, -state.popularity_of(scenario, left)))[: limits[index]]]
        out[index, : len(best)] = best
    return out
