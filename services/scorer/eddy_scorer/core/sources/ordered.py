"""Sources that offer everybody the same order of items, less what each has seen: trending, fresh, popular."""

from collections.abc import Mapping

import numpy as np

from eddy_scorer.core.ranking.batch import Batch
from eddy_scorer.core.state.arrays import I64, first_of
from eddy_scorer.core.state.catalogue import Catalogue

# Times the quota: how much of an order is looked at first.
_FRONT = 4


class OrderedSource:
    """The first unblocked rows of its scenario's order.

    `trending`: most acted on lately in the scenario. `fresh`: newest by publication or first action. `popular` fills up what the
    others leave open.
    """

    def __init__(self, name: str, catalogue: Catalogue) -> None:
        self.name = name
        self._catalogue = catalogue

    def find(self, batch: Batch, orders: Mapping[int, I64], quota: int) -> I64:
        """`orders` gives rows, best first, for each scenario id."""
        found = np.zeros((len(batch), quota), np.int64)
        for scenario in set(batch.scenarios.tolist()):
            lines = np.flatnonzero(batch.scenarios == scenario)
            found[lines] = self._first(batch, scenario, lines, orders[scenario], quota)
        return found

    def _first(self, batch: Batch, scenario: int, lines: I64, order: I64, quota: int) -> I64:
        """Nearly everybody finds enough at the very front."""
        for rows in (order[: _FRONT * quota], order):
            # An order may be a moment old; an item taken off since must not come back.
            wanted = self._catalogue.eligible[scenario, rows] & ~batch.blocked[lines[:, None], rows]
            if len(rows) == len(order) or wanted.sum(axis=1).min() >= quota:
                break
        return first_of(rows, wanted, quota)
