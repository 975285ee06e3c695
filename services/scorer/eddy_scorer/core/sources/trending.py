"""Items with the most recent interactions in the scenario."""

from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.ranking.orders import first_allowed
from eddy_scorer.core.sources.source import MergedSource
from eddy_scorer.core.state.arrays import I64


class TrendingSource(MergedSource):
    """The scenario's items by fast decayed interactions."""

    name = "trending"

    def find(self, context: BatchContext, quota: int) -> I64:
        return first_allowed(context, lambda orders: orders.trending, quota)
