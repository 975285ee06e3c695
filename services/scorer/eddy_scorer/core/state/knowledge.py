"""All that the scorer knows of items and users, and the orders and matrices derived from it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Literal

import numpy as np

from eddy.contract.records import Item, ItemFeatures
from eddy.contract.scenarios import Scenario, Scenarios
from eddy.errors import PoisonError
from eddy.text import TextModel, words_of
from eddy_scorer.core.state.arrays import F32, I64
from eddy_scorer.core.state.catalogue import Catalogue
from eddy_scorer.core.state.counts import ItemCounts
from eddy_scorer.core.state.covisits import CoVisits, Matrices, matrices_of
from eddy_scorer.core.state.exposure import Exposure
from eddy_scorer.core.state.item_table import ItemTable
from eddy_scorer.core.state.meaning import Meaning
from eddy_scorer.core.state.nearest import NearestItems
from eddy_scorer.core.state.pace import Pace
from eddy_scorer.core.state.users import Users


@dataclass(frozen=True, slots=True)
class Orders:
    """Rows of one scenario, best first; its eligible rows; the sum of its slow counts, decayed to the newest event."""

    trending: I64
    popular: I64
    fresh: I64
    eligible: I64
    acted_sum: float


class Knowledge:
    """State built from records. What is derived from it follows at a bounded share of the time (`refresh`).

    From `approximate_from` items on the encoder's best ones are looked up in an index; 0 is never.
    """

    def __init__(
        self,
        scenarios: Scenarios,
        monotonic: Callable[[], float],
        approximate_from: int = 0,
        texts: TextModel | None = None,
    ) -> None:
        self.scenarios = scenarios
        self.catalogue = Catalogue(scenarios)
        self.counts = ItemCounts(scenarios)
        self.covisits = CoVisits(
            {name: scenario.counts.covisit_half_life_sec for name, scenario in scenarios.scenarios.items()}
        )
        self.table = ItemTable()
        self.users = Users(self.catalogue, scenarios)
        self.order_pace = Pace(monotonic, least_sec=0.05)
        self.matrix_pace = Pace(monotonic, least_sec=0.3)
        self.nearest_pace = Pace(monotonic, duty=0.2, least_sec=0.5)
        self.nearest = NearestItems()
        self.exposure = Exposure()
        self.meaning = Meaning(texts)
        self._approximate_from = approximate_from
        self._rows_moved = False
        self.orders: dict[int, Orders] = {}
        self._swap = threading.Lock()
        self._stale = {scenario.id for scenario in scenarios.scenarios.values()}
        self.matrices: Matrices
        self._build_orders(self._take_stale(), self._snapshot())
        self._build_matrices(self._snapshot())
        scenarios.each(self._add_scenario)

    def _add_scenario(self, name: str, scenario: Scenario) -> None:
        """Catalogue and counts know it already: they followed before."""
        self.covisits.add_scenario(name, scenario.counts.covisit_half_life_sec)
        if scenario.id in self.orders:
            return
        for row in self.counts.rows_in(scenario.id):
            self.catalogue.counted(row, [scenario.id])
        size = self._snapshot()
        for row in np.flatnonzero(self.catalogue.eligible[scenario.id, :size]).tolist():
            self._set_eligible(row)
        self._build_orders({scenario.id}, size)

    def apply_item(self, record: Item) -> None:
        """Take in an `item` record."""
        row = self.catalogue.apply(record)
        words = words_of(record["title"], record.get("text"), record["categories"], record.get("attributes", {}))
        self.meaning.describe(row, words)
        self._set_eligible(row)
        self._stale.update(self.orders)

    def withdraw_item(self, item_id: str) -> None:
        """The item's record was deleted."""
        self.catalogue.withdraw(item_id)
        self._set_eligible(self.catalogue.find(item_id))
        self._stale.update(self.orders)

    def apply_item_features(self, record: ItemFeatures) -> None:
        """Take in an `item_features` record, unless a newer one is there. Raises PoisonError when it does not hold; the former stays."""
        _check_counts(record)
        row = self.catalogue.admit(record["item_id"])
        if not self.counts.newer(row, record):
            return
        self.covisits.apply(row, record, self.catalogue)
        counted = self.counts.apply(row, record)
        self.catalogue.counted(row, counted)
        self._set_eligible(row)
        self._stale.update(counted)

    def forget_item_features(self, item_id: str) -> None:
        """The item's counts were deleted."""
        row = self.catalogue.admit(item_id)
        self.counts.forget(row)
        self.covisits.forget(row)
        self.catalogue.uncounted(row)
        self._set_eligible(row)
        self._stale.update(self.orders)

    def apply_rows(self, item_ids: list[str], vectors: F32, bias: F32) -> None:
        """Set item rows in place: `vectors` [R, DIM], `bias` [R]. The next list is scored with them."""
        rows = np.array(self.catalogue.admit_all(item_ids), np.int64)
        self.table.ensure(len(self.catalogue))
        self.table.assign(rows, vectors, bias, self.catalogue.eligible[:, rows])
        self._rows_moved = True

    def has_vector(self, item_id: str) -> bool:
        """Whether the item has a row of the model's table."""
        row = self.catalogue.find(item_id)
        return row < len(self.table.has_vector) and bool(self.table.has_vector[row])

    def drop_rows(self, item_ids: list[str]) -> None:
        """Forget item rows that the trainer expired."""
        rows = [self.catalogue.find(item_id) for item_id in item_ids]
        self.table.drop(np.array([row for row in rows if row], np.int64))
        self._rows_moved = True

    def refresh(self) -> None:
        """Rebuild what is stale and due, in place."""
        for build in self.due():
            build()

    def rebuild(self) -> None:
        """Rebuild everything now."""
        for build in self.builds():
            build()

    def builds(self) -> list[Callable[[], None]]:
        """What rebuilds everything; it may run in another thread than everything else."""
        self._stale.update(self.orders)
        size = self._snapshot()
        derived: list[Callable[[], None]] = [
            partial(self._build_orders, self._take_stale(), size),
            partial(self._build_matrices, size),
        ]
        return [*derived, partial(self._follow_rows, size)] if self._approximate(size) else derived

    def due(self) -> list[Callable[[], None]]:
        """What rebuilds what is stale, where it is time; each may run in another thread than everything else."""
        found = (self.due_orders(), self.due_matrices(), self.due_nearest(), self.meaning.due())
        return [build for build in found if build]

    def due_orders(self) -> Callable[[], None] | None:
        """What rebuilds the stale orders, when it is time; it may run in another thread than everything else."""
        if not (self._stale and self.order_pace.due()):
            return None
        return partial(self._build_orders, self._take_stale(), self._snapshot())

    def due_matrices(self) -> Callable[[], None] | None:
        """What rebuilds the stale matrices, when it is time; it may run in another thread than everything else."""
        if not (self.covisits.dirty and self.matrix_pace.due()):
            return None
        return partial(self._build_matrices, self._snapshot())

    def due_nearest(self) -> Callable[[], None] | None:
        """What brings the index of item rows up to date, when it is time; it may run in another thread than everything else."""
        size = self._snapshot()
        if not (self._rows_moved and self._approximate(size) and self.nearest_pace.due()):
            return None
        self._rows_moved = False
        return partial(self._follow_rows, size)

    def _approximate(self, size: int) -> bool:
        return 0 < self._approximate_from < size

    def _follow_rows(self, size: int) -> None:
        started = self.nearest_pace.start()
        self.nearest.follow(self.table, size)
        self.nearest_pace.took(started)

    def _snapshot(self) -> int:
        """Rows that a rebuild covers, with room for them in every column. Values that move on while it runs make it stale again."""
        size = len(self.catalogue)
        self.counts.ensure(size)
        self.table.ensure(size)
        return size

    def _take_stale(self) -> set[int]:
        stale, self._stale = self._stale, set()
        return stale

    def _build_orders(self, stale: set[int], size: int) -> None:
        started = self.order_pace.start()
        built = {scenario: self._orders(scenario, size) for scenario in stale}
        with self._swap:  # a scenario that is added meanwhile has its orders built beside this
            self.orders = self.orders | built
        self.order_pace.took(started)

    def _build_matrices(self, size: int) -> None:
        started = self.matrix_pace.start()
        edges = self.covisits.edges(self.counts.as_of, self.counts.popularity(size))
        self.matrices = matrices_of(edges)
        self.matrix_pace.took(started)

    def acted_sums(self, scenarios: I64) -> F32:
        """Sums of slow counts of `scenarios` [B]."""
        return np.array([self.orders[scenario].acted_sum for scenario in scenarios.tolist()], np.float32)

    def exposures(self) -> dict[str, tuple[float, float]]:
        """Coverage and Gini coefficient of each scenario, over the items it may recommend; it may run in another thread."""
        orders = self.orders
        return {
            name: self.exposure.of(scenario, orders[scenario].eligible)
            for name, scenario in list(self.scenarios.ids.items())
            if scenario in orders
        }

    def popularity_of(self, scenario: int, rows: I64) -> F32:
        """Slow counts of rows in a scenario, stated each at its own time: to order a few rows by."""
        self.counts.ensure(len(self.catalogue))
        return self.counts.acted(scenario, rows)

    def _orders(self, scenario: int, size: int) -> Orders:
        eligible = self.catalogue.eligible[scenario, :size].copy()
        return Orders(
            trending=self.counts.trending(scenario, eligible),
            popular=self.counts.popular(scenario, eligible),
            fresh=self.counts.fresh(eligible, self.catalogue.published_at[:size]),
            eligible=np.flatnonzero(eligible),
            acted_sum=self.counts.acted_sum(scenario, size),
        )

    def _set_eligible(self, row: int) -> None:
        """The encoder may bring the row in those scenarios that may recommend it."""
        if self.table.set_eligible(row, self.catalogue.eligible[:, row]):
            self._rows_moved = True


_COUNTS: tuple[Literal["shown", "clicked", "acted", "acted_fast", "total", "valued", "value_sum"], ...] = (
    "shown",
    "clicked",
    "acted",
    "acted_fast",
    "total",
    "valued",
    "value_sum",
)


def _check_counts(record: ItemFeatures) -> None:
    for entry in record["counts"]:
        numbers = [entry[name] for name in _COUNTS]
        if not all(map(isfinite, numbers)) or min(numbers) < 0 or entry["value_sum"] > entry["valued"]:
            raise PoisonError("bad_features", f"counts of {record['item_id'][:100]} are no counts")
