"""Rebuilds derived state within a bounded share of the time: orders, co-visitation matrices, the index of embeddings."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeAlias

from eddy_scorer.core.state.columns import ItemColumns
from eddy_scorer.core.state.covisits import Matrices, matrices_of
from eddy_scorer.core.state.nearest import NearestItems
from eddy_scorer.core.state.orders import ScenarioOrders
from eddy_scorer.core.state.rebuild_pace import RebuildPace

Build: TypeAlias = Callable[[], None]


class Rebuilds:
    """Returns the builds that are due. They may run in another thread, one at a time.

    From `approximate_from` items on, the encoder's best items come from the approximate index `nearest`; 0 disables the index.
    """

    def __init__(
        self, columns: ItemColumns, orders: ScenarioOrders, monotonic: Callable[[], float], approximate_from: int
    ) -> None:
        self._columns = columns
        self._orders = orders
        self._approximate_from = approximate_from
        self._order_pace = RebuildPace(monotonic, min_interval_sec=0.05)
        self._matrix_pace = RebuildPace(monotonic, min_interval_sec=0.3)
        self._nearest_pace = RebuildPace(monotonic, duty=0.2, min_interval_sec=0.5)
        self.nearest = NearestItems()
        self._builds = {"orders": 0, "matrices": 0, "nearest": 0}
        self.matrices: Matrices
        size = columns.ensure()
        self._build_orders(orders.take_stale(), size)
        self._build_matrices(size)

    def all(self) -> list[Build]:
        """The builds of all derived state, due or not."""
        self._orders.mark_all()
        size = self._columns.ensure()
        builds: list[Build] = [
            partial(self._build_orders, self._orders.take_stale(), size),
            partial(self._build_matrices, size),
        ]
        return [*builds, partial(self._update_index, size)] if self._approximate(size) else builds

    def due(self) -> list[Build]:
        """The builds of stale state whose interval has passed."""
        builds = (self.due_orders(), self.due_matrices(), self.due_nearest(), self._columns.text_embeddings.due())
        return [build for build in builds if build]

    def due_orders(self) -> Build | None:
        """The build of stale orders, if it is due."""
        if not (self._orders.stale and self._order_pace.due()):
            return None
        return partial(self._build_orders, self._orders.take_stale(), self._columns.ensure())

    def due_matrices(self) -> Build | None:
        """The build of stale matrices, if it is due."""
        if not (self._columns.covisits.dirty and self._matrix_pace.due()):
            return None
        return partial(self._build_matrices, self._columns.ensure())

    def due_nearest(self) -> Build | None:
        """The update of the index of embeddings, if it is due."""
        size = self._columns.ensure()
        if not (self._columns.table.dirty and self._approximate(size) and self._nearest_pace.due()):
            return None
        self._columns.table.dirty = False
        return partial(self._update_index, size)

    def completed(self, size: int) -> dict[str, int]:
        """The number of builds of each kind of derived state, of those that `size` rows need. Not to be called during a build."""
        kinds = ("orders", "matrices", "nearest") if self._approximate(size) else ("orders", "matrices")
        return {kind: self._builds[kind] for kind in kinds}

    def _approximate(self, size: int) -> bool:
        return 0 < self._approximate_from < size

    def _build_orders(self, scenarios: Iterable[int], size: int) -> None:
        started = self._order_pace.start()
        self._orders.build(scenarios, size)
        self._order_pace.finish(started)
        self._builds["orders"] += 1

    def _build_matrices(self, size: int) -> None:
        started = self._matrix_pace.start()
        counts = self._columns.counts
        edges = self._columns.covisits.snapshot(counts.as_of, counts.popularity(size))
        self.matrices = matrices_of(edges)
        self._matrix_pace.finish(started)
        self._builds["matrices"] += 1

    def _update_index(self, size: int) -> None:
        started = self._nearest_pace.start()
        self.nearest.update(self._columns.table, size)
        self._nearest_pace.finish(started)
        self._builds["nearest"] += 1
