"""The candidates that a request names itself."""

from collections.abc import Collection

from eddy.contract.model import PADDING_ROW
from eddy_scorer.core.ranking.batch import Batch
from eddy_scorer.core.state.catalogue import Catalogue


class GivenSource:
    """A request's own candidates, less those that the scenario's filters take out. Unknown items stay, on row 0."""

    name = "given"

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def find(self, batch: Batch, line: int, excluded: Collection[str]) -> list[tuple[int, str]]:
        """(row, item id) of each candidate, in the order of the request; `excluded` also counts for unknown items."""
        scenario = int(batch.scenarios[line])
        found = []
        for item_id in batch.requests[line].candidates or ():
            row = self._catalogue.find(item_id)
            known = row != PADDING_ROW
            taken_out = known and (batch.blocked[line, row] or self._withdrawn(scenario, row))
            if not taken_out and item_id not in excluded:
                found.append((row, item_id))
        return found

    def _withdrawn(self, scenario: int, row: int) -> bool:
        return bool(self._catalogue.published[row] and not self._catalogue.eligible[scenario, row])
