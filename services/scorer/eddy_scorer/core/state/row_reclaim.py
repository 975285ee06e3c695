"""Frees the rows of items of which nothing is known any more, so that a catalogue that changes all the time keeps its size.

An item that was deleted, or whose counts and embedding have expired, leaves a row behind. It is dead if the item is not published and has
neither counts nor an embedding, and once no history of a user refers to it. When there are many dead rows, they are cleared, and given to
new items after orders, matrices and index were built again without them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from eddy_scorer.core.state.arrays import I64, Bool
from eddy_scorer.core.state.columns import ItemColumns
from eddy_scorer.core.state.exposure import Exposure
from eddy_scorer.core.state.orders import ScenarioOrders
from eddy_scorer.core.state.rebuilds import Rebuilds
from eddy_scorer.core.state.users import UserStore

MIN_DEAD_ROWS = 1000
# Rows are reclaimed when one in so many is dead.
DEAD_SHARE = 8
COUNT_SEC = 1.0  # between two counts of dead rows
# Users and rows that are visited at once, for which a batch of requests has to wait (about 2 ms).
SLICE = 1000
# Rows that are cleared at once, about .05 ms each.
RETIRED_AT_ONCE = 100


@dataclass(slots=True)
class _Sweep:
    """Dead rows [size] as far as known, users that are still to be visited, and the next row whose edges are."""

    dead: Bool
    users: list[str]
    next_row: int = 0
    retired: int = 0  # rows before this one are cleared, if they are dead


class RowReclaim:
    """Reclaims rows in slices. Call `step` often, from the thread that applies records, and while no derived state is being built."""

    def __init__(
        self,
        columns: ItemColumns,
        users: UserStore,
        exposure: Exposure,
        orders: ScenarioOrders,
        rebuilds: Rebuilds,
        monotonic: Callable[[], float],
    ) -> None:
        self._columns = columns
        self._users = users
        self._exposure = exposure
        self._orders = orders
        self._rebuilds = rebuilds
        self._monotonic = monotonic
        self._counted_at = float("-inf")
        self._sweep: _Sweep | None = None
        self._retired: I64 = np.zeros(0, np.int64)
        self._retired_at: dict[str, int] = {}  # builds of derived state

    def step(self) -> None:
        """Do the next slice of work, if there is any."""
        if len(self._retired):
            self._release()
        elif self._sweep is not None:
            self._visit(self._sweep)
        elif self._monotonic() - self._counted_at >= COUNT_SEC:
            self._counted_at = self._monotonic()
            self._start()

    def _start(self) -> None:
        dead = self._dead()
        if np.count_nonzero(dead) >= max(MIN_DEAD_ROWS, len(dead) // DEAD_SHARE):
            self._columns.catalogue.watch_rows()
            self._sweep = _Sweep(dead, self._users.ids)

    def _dead(self) -> Bool:
        """The rows that no record describes. Histories may refer to them."""
        size = self._columns.ensure()
        catalogue, table = self._columns.catalogue, self._columns.table
        dead = catalogue.has_item[:size] & ~catalogue.published[:size] & ~table.has_vector[:size]
        return dead & self._columns.counts.without_record(size)

    def _visit(self, sweep: _Sweep) -> None:
        if sweep.users:
            for user_id in sweep.users[-SLICE:]:
                rows = self._users.get(user_id).history_rows()
                sweep.dead[rows[rows < len(sweep.dead)]] = False
            del sweep.users[-SLICE:]
        elif sweep.next_row < len(sweep.dead):
            targets = range(sweep.next_row, min(sweep.next_row + SLICE, len(sweep.dead)))
            self._columns.covisits.drop_sources(targets, sweep.dead)
            sweep.next_row = targets.stop
        else:
            self._retire(sweep)

    def _retire(self, sweep: _Sweep) -> None:
        """Clear the next dead rows, unless something has referred to them since the sweep began."""
        catalogue = self._columns.catalogue
        touched = np.array(sorted(catalogue.touched_rows()), np.int64)
        sweep.dead[touched[touched < len(sweep.dead)]] = False
        sweep.dead[sweep.retired :] &= self._dead()[sweep.retired : len(sweep.dead)]
        rows = sweep.retired + np.flatnonzero(sweep.dead[sweep.retired :])[:RETIRED_AT_ONCE]
        if len(rows):
            catalogue.retire(rows)
            self._columns.text_embeddings.forget(rows)
            self._exposure.forget(rows)
            sweep.retired = int(rows[-1]) + 1
            return
        catalogue.unwatch_rows()
        self._columns.covisits.dirty = self._columns.table.dirty = True
        self._orders.mark_all()
        self._sweep, self._retired = None, np.flatnonzero(sweep.dead)
        self._retired_at = self._rebuilds.completed(len(catalogue))

    def _release(self) -> None:
        """Release the retired rows once all derived state is without them."""
        completed = self._rebuilds.completed(len(self._columns.catalogue))
        if all(completed[kind] > self._retired_at.get(kind, 0) for kind in completed):
            self._columns.catalogue.release(self._retired)
            self._retired = np.zeros(0, np.int64)
