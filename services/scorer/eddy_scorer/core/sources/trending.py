"""What is acted on most of late in the scenario."""

from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.ranking.orders import first_of_orders
from eddy_scorer.core.sources.source import MergedSource
from eddy_scorer.core.state.arrays import I64


class TrendingSource(MergedSource):
    """The scenario's items by fast decayed actions."""

    name = "trending"

    def find(self, context: BatchContext, quota: int) -> I64:
        return first_of_orders(context, lambda orders: orders.trending, quota)
