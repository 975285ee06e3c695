"""The candidates that a request names."""

from collections.abc import Collection

from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.sources.source import BaseSource


class GivenSource(BaseSource):
    """The candidates of a request, less those that the scenario's filters remove, and those that are not published in a scenario that has a
    catalogue. They replace those of all other sources."""

    name = "given"

    def of_request(self, context: BatchContext, index: int, excluded: Collection[str]) -> list[tuple[int, str]]:
        """(row, item id) of each candidate of request `index`, in its order; an unknown item has row 0.

        `excluded` also removes unknown items.
        """
        catalogue = context.state.catalogue
        rows = ((catalogue.find(item_id), item_id) for item_id in context.batch.requests[index].candidates or ())
        return [
            (row, item_id) for row, item_id in rows if item_id not in excluded and not _filtered(context, index, row)
        ]


def _filtered(context: BatchContext, index: int, row: int) -> bool:
    scenario = int(context.batch.scenarios[index])
    return bool(context.batch.blocked[index, row] or context.state.catalogue.is_withheld(row, scenario))
