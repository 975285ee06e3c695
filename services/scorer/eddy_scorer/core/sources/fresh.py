"""New items of the scenario."""

from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.ranking.orders import first_allowed
from eddy_scorer.core.sources.source import MergedSource
from eddy_scorer.core.state.arrays import I64


class FreshSource(MergedSource):
    """The scenario's items by publication or first interaction, newest first."""

    name = "fresh"

    def find(self, context: BatchContext, quota: int) -> I64:
        return first_allowed(context, lambda orders: orders.fresh, quota)
