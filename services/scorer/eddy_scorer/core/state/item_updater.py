"""Applies records about items to the columns, and marks derived state as stale."""

from collections.abc import Iterable, Sequence
from math import isfinite

import numpy as np

from eddy.contract.model import PADDING_ROW
from eddy.contract.records import Item, ItemFeatures
from eddy.errors import PoisonError
from eddy.text import item_text
from eddy_scorer.core.state.arrays import F32
from eddy_scorer.core.state.columns import ItemColumns
from eddy_scorer.core.state.orders import ScenarioOrders


class ItemUpdater:
    """Applies `item` and `item_features` records and item embeddings."""

    def __init__(self, columns: ItemColumns, orders: ScenarioOrders) -> None:
        self._columns = columns
        self._orders = orders

    def publish(self, record: Item, arrived_at: int = 0) -> None:
        """Apply an `item` record that Kafka received at `arrived_at` (milliseconds, 0 if unknown)."""
        row = self._columns.catalogue.apply(record, arrived_at)
        text = item_text(record["title"], record.get("text"), record["categories"], record.get("attributes", {}))
        self._columns.text_embeddings.set_text(row, text)
        self._eligibility_changed(row)
        self._orders.mark_all()

    def withdraw(self, item_id: str, scenarios: Sequence[str] | None = None) -> None:
        """Withdraw an item whose record was deleted; `scenarios` are those for which it was published, none for all, if that is known."""
        catalogue = self._columns.catalogue
        catalogue.withdraw(item_id)
        if scenarios is not None:
            catalogue.begin_catalogues(scenarios)
        row, changed = catalogue.find(item_id), catalogue.take_changed()
        if row != PADDING_ROW:
            changed.append(row)
        if changed:
            self._set_eligible(changed)
            self._orders.mark_all()

    def apply_features(self, record: ItemFeatures) -> None:
        """Apply an `item_features` record, unless a newer one was applied. Raises PoisonError for a malformed one and keeps the former."""
        _check_counts(record)
        columns = self._columns
        row = columns.catalogue.ensure_row(record["item_id"])
        if not columns.counts.is_current(row, record):
            return
        columns.covisits.apply(row, record, columns.catalogue)
        scenarios = columns.counts.apply(row, record)
        columns.catalogue.allow_counted(row, scenarios)
        if not columns.catalogue.published[row]:
            self._eligibility_changed(row)
        self._orders.mark(scenarios)

    def forget_features(self, item_id: str) -> None:
        """Drop the counts and co-visitations of an item whose `item_features` were deleted."""
        columns = self._columns
        row = columns.catalogue.find(item_id)
        if row == PADDING_ROW:
            return
        columns.counts.forget(row)
        columns.covisits.forget(row)
        columns.catalogue.disallow_uncounted(row)
        self._eligibility_changed(row)
        self._orders.mark_all()

    def set_embeddings(self, item_ids: list[str], vectors: F32, bias: F32) -> None:
        """Set item embeddings in place: `vectors` [R, DIM], `bias` [R]. The next slate uses them."""
        catalogue = self._columns.catalogue
        rows = np.array(catalogue.ensure_rows(item_ids), np.int64)
        self._columns.table.ensure(len(catalogue))
        self._columns.table.assign(rows, vectors, bias, catalogue.eligible[:, rows])

    def drop_embeddings(self, item_ids: list[str]) -> None:
        """Drop the embeddings of items that the trainer expired."""
        rows = [self._columns.catalogue.find(item_id) for item_id in item_ids]
        self._columns.table.drop(np.array([row for row in rows if row], np.int64))

    def has_embedding(self, item_id: str) -> bool:
        """Whether the item has an embedding."""
        row, table = self._columns.catalogue.find(item_id), self._columns.table
        return row < len(table.has_vector) and bool(table.has_vector[row])

    def add_scenario(self, scenario: int) -> None:
        """Make existing items eligible in a new scenario."""
        columns = self._columns
        for row in columns.counts.rows_in(scenario):
            columns.catalogue.allow_counted(row, [scenario])
        rows = np.flatnonzero(columns.catalogue.eligible[scenario, : columns.ensure()])
        for row in rows.tolist():
            self._eligibility_changed(row)

    def _eligibility_changed(self, row: int) -> None:
        """Update the scenarios in which the encoder may propose the row, and the others that changed with it."""
        self._set_eligible((row, *self._columns.catalogue.take_changed()))

    def _set_eligible(self, rows: Iterable[int]) -> None:
        for row in rows:
            self._columns.table.set_eligible(row, self._columns.catalogue.eligible[:, row])


def _check_counts(record: ItemFeatures) -> None:
    for entry in record["counts"]:
        values = [value for value in entry.values() if isinstance(value, int | float)]  # all but the scenario
        if not all(map(isfinite, values)) or min(values) < 0 or entry["value_sum"] > entry["valued"]:
            raise PoisonError(
                "bad_features",
                f"counts of {record['item_id'][:100]} in scenario {entry['scenario'][:100]} are "
                "negative, not finite, or have a larger value_sum than valued",
            )
