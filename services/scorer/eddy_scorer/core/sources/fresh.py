"""What is new in the scenario."""

from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.ranking.orders import first_of_orders
from eddy_scorer.core.sources.source import MergedSource
from eddy_scorer.core.state.arrays import I64


class FreshSource(MergedSource):
    """The scenario's items by publication or first action, newest first."""

    name = "fresh"

    def find(self, context: BatchContext, quota: int) -> I64:
        return first_of_orders(context, lambda orders: orders.fresh, quota)
