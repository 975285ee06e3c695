"""Records about items into the columns, and what they make stale."""

from math import isfinite
from typing import Literal

import numpy as np

from eddy.contract.records import Item, ItemFeatures
from eddy.errors import PoisonError
from eddy.text import item_text
from eddy_scorer.core.state.arrays import F32
from eddy_scorer.core.state.columns import ItemColumns
from eddy_scorer.core.state.orders import ScenarioOrders


class ItemUpdater:
    """Applies `item` and `item_features` records and rows of the model's table."""

    def __init__(self, columns: ItemColumns, orders: ScenarioOrders) -> None:
        self._columns = columns
        self._orders = orders

    def publish(self, record: Item) -> None:
        """Take in an `item` record."""
        row = self._columns.catalogue.apply(record)
        words = item_text(record["title"], record.get("text"), record["categories"], record.get("attributes", {}))
        self._columns.text_embeddings.set_text(row, words)
        self._eligibility_changed(row)
        self._orders.mark_all()

    def withdraw(self, item_id: str) -> None:
        """The item's record was deleted."""
        self._columns.catalogue.withdraw(item_id)
        self._eligibility_changed(self._columns.catalogue.find(item_id))
        self._orders.mark_all()

    def apply_features(self, record: ItemFeatures) -> None:
        """Take in an `item_features` record, unless a newer one was applied. Raises PoisonError for a malformed one; the former stays."""
        _check_counts(record)
        columns = self._columns
        row = columns.catalogue.ensure_row(record["item_id"])
        if not columns.counts.is_current(row, record):
            return
        columns.covisits.apply(row, record, columns.catalogue)
        scenarios = columns.counts.apply(row, record)
        columns.catalogue.allow_counted(row, scenarios)
        self._eligibility_changed(row)
        self._orders.mark(scenarios)

    def forget_features(self, item_id: str) -> None:
        """The item's counts were deleted."""
        columns = self._columns
        row = columns.catalogue.ensure_row(item_id)
        columns.counts.forget(row)
        columns.covisits.forget(row)
        columns.catalogue.disallow_uncounted(row)
        self._eligibility_changed(row)
        self._orders.mark_all()

    def set_embeddings(self, item_ids: list[str], vectors: F32, bias: F32) -> None:
        """Set item rows in place: `vectors` [R, DIM], `bias` [R]. The next slate is scored with them."""
        catalogue = self._columns.catalogue
        rows = np.array(catalogue.ensure_rows(item_ids), np.int64)
        self._columns.table.ensure(len(catalogue))
        self._columns.table.assign(rows, vectors, bias, catalogue.eligible[:, rows])

    def drop_embeddings(self, item_ids: list[str]) -> None:
        """Forget item rows that the trainer expired."""
        rows = [self._columns.catalogue.find(item_id) for item_id in item_ids]
        self._columns.table.drop(np.array([row for row in rows if row], np.int64))

    def has_embedding(self, item_id: str) -> bool:
        """Whether the item has a row of the model's table."""
        row, table = self._columns.catalogue.find(item_id), self._columns.table
        return row < len(table.has_vector) and bool(table.has_vector[row])

    def add_scenario(self, scenario: int) -> None:
        """Let items that came before the scenario be recommended in it."""
        columns = self._columns
        for row in columns.counts.rows_in(scenario):
            columns.catalogue.allow_counted(row, [scenario])
        rows = np.flatnonzero(columns.catalogue.eligible[scenario, : columns.ensure()])
        for row in rows.tolist():
            self._eligibility_changed(row)

    def _eligibility_changed(self, row: int) -> None:
        """The encoder may bring the row in those scenarios that may recommend it."""
        self._columns.table.set_eligible(row, self._columns.catalogue.eligible[:, row])


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
            raise PoisonError("bad_features", f"counts of {record['item_id'][:100]} are not counts")
