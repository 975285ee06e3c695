"""Popular items for the positions that the sources leave open."""

import numpy as np

from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.ranking.orders import first_allowed
from eddy_scorer.core.state.arrays import I64


def popular_items(context: BatchContext, limits: I64) -> I64:
    """Rows [B, F] from the front of each scenario's popular order; F is the maximum of `limits` [B]."""
    return first_allowed(context, lambda orders: orders.popular, int(limits.max(initial=0)))


def remaining_items(context: BatchContext, merged: I64, limits: I64) -> I64:
    """Rows [B, F] of all other allowed items by popularity, for the few requests that have less than `limits` [B] candidates."""
    state, batch = context.state, context.batch
    out = np.zeros((len(batch), int(limits.max(initial=0))), np.int64)
    for index in np.flatnonzero((merged > 0).sum(axis=1) < limits).tolist():
        scenario, query_rows = int(batch.scenarios[index]), batch.query_rows[index]
        pool = context.orders[scenario].eligible if query_rows is None else query_rows
        eligible = state.catalogue.eligible[scenario, pool]
        remaining = pool[eligible & ~batch.blocked[index, pool] & ~np.isin(pool, merged[index])]
        best = remaining[np.lexsort((remaining, -state.popularity_of(scenario, remaining)))[: limits[index]]]
        out[index, : len(best)] = best
    return out
