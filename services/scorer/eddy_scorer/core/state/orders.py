"""Orders of items that all users of a scenario share: trending, popular, fresh."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from eddy_scorer.core.state.arrays import I64
from eddy_scorer.core.state.columns import ItemColumns


@dataclass(frozen=True, slots=True)
class Orders:
    """The rows of one scenario, best first, its eligible rows, and the sum of its slow counts, decayed to the newest event."""

    trending: I64
    popular: I64
    fresh: I64
    eligible: I64
    interaction_sum: float


class ScenarioOrders:
    """The orders of each scenario id, and which of them are stale. `build` may run in another thread."""

    def __init__(self, columns: ItemColumns, scenarios: Iterable[int]) -> None:
        self._columns = columns
        self._stale = set(scenarios)
        self._lock = threading.Lock()
        self.by_scenario: dict[int, Orders] = {}

    @property
    def stale(self) -> bool:
        """Whether the orders of any scenario are stale."""
        return bool(self._stale)

    def mark(self, scenarios: Iterable[int]) -> None:
        """Mark the orders of these scenarios as stale."""
        self._stale.update(scenarios)

    def mark_all(self) -> None:
        """Mark all orders as stale."""
        self._stale.update(self.by_scenario)

    def take_stale(self) -> set[int]:
        """Return the stale scenarios and reset them. A change during the build makes a scenario stale again."""
        stale, self._stale = self._stale, set()
        return stale

    def build(self, scenarios: Iterable[int], size: int) -> None:
        """Rebuild the orders of `scenarios` from the first `size` rows."""
        built = {scenario: self._orders(scenario, size) for scenario in scenarios}
        with self._lock:  # another thread may build the orders of a new scenario at the same time
            self.by_scenario = self.by_scenario | built

    def _orders(self, scenario: int, size: int) -> Orders:
        catalogue, counts = self._columns.catalogue, self._columns.counts
        eligible = catalogue.eligible[scenario, :size].copy()
        born_at = catalogue.born_at(np.arange(size), counts.first_at[:size])
        return Orders(
            trending=counts.trending(scenario, eligible),
            popular=counts.popular(scenario, eligible),
            fresh=counts.fresh(eligible, born_at, catalogue.published_at[:size]),
            eligible=np.flatnonzero(eligible),
            interaction_sum=counts.interaction_sum(scenario, size),
        )
