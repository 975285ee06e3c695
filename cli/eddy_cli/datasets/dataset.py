"""A data set in memory."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

MISSING_VALUE = 3.0  # the middle of 1 to 5


@dataclass(frozen=True, slots=True)
class CatalogueItem:
    """Properties of an item. `year` is None, and `genres` empty, if the source has none."""

    item_id: str
    title: str = ""
    year: int | None = None
    genres: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """Events, oldest first; those of the same moment stay in the order of the source.

    users, items: [events] int32, indices into `user_ids` and `item_ids`; values: [events] float32, ratings or other values of the events,
    MISSING_VALUE for events without one; has_value: [events] bool, which events have one (None: all).
    times_ms: [events] int64, since the epoch. `catalogue` has one item per `item_ids`, including items without
    events; `ages` has ages of users in years, if the source has them. `notes` are lines about how the source was read.
    """

    name: str
    user_ids: Sequence[str]
    item_ids: Sequence[str]
    users: NDArray[np.int32]
    items: NDArray[np.int32]
    values: NDArray[np.float32]
    times_ms: NDArray[np.int64]
    catalogue: Sequence[CatalogueItem]
    ages: Mapping[str, int] = field(default_factory=dict)
    has_value: NDArray[np.bool_] | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.users)

    def cut(self, limit: int | None) -> "Dataset":
        """The first `limit` events."""
        return self.at(slice(limit))

    def at(self, rows: slice | NDArray[np.int64]) -> "Dataset":
        """The events of `rows`, which are ascending."""
        columns = {name: getattr(self, name)[rows] for name in ("users", "items", "values", "times_ms")}
        return replace(self, **columns, has_value=None if self.has_value is None else self.has_value[rows])


def build(
    name: str,
    users: Sequence[str],
    items: Sequence[str],
    values: NDArray[np.float32],
    times_sec: NDArray[np.float64],
    catalogue: Sequence[CatalogueItem],
    ages: Mapping[str, int],
) -> Dataset:
    """Number the ids, put the events in order of time, and give every item an entry in the catalogue. NaN stands for a missing value."""
    listed = {item.item_id for item in catalogue}
    # In hash order, which reveals nothing about the time of their first event.
    unlisted = [CatalogueItem(item_id) for item_id in sorted(set(items) - listed, key=_hash)]
    all_items = (*catalogue, *unlisted)
    item_ids = tuple(item.item_id for item in all_items)
    user_ids = tuple(dict.fromkeys(users))
    item_indices = {item_id: index for index, item_id in enumerate(item_ids)}
    user_indices = {user_id: index for index, user_id in enumerate(user_ids)}
    order = np.argsort(times_sec, kind="stable")
    return Dataset(
        name=name,
        user_ids=user_ids,
        item_ids=item_ids,
        users=np.array([user_indices[user] for user in users], np.int32)[order],
        items=np.array([item_indices[item] for item in items], np.int32)[order],
        values=np.where(np.isnan(values), np.float32(MISSING_VALUE), values)[order],
        times_ms=np.rint(times_sec[order] * 1000).astype(np.int64),
        catalogue=all_items,
        ages=ages,
        has_value=~np.isnan(values)[order],
    )


def _hash(item_id: str) -> bytes:
    return hashlib.blake2b(item_id.encode(), digest_size=8).digest()
