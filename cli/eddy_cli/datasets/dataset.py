"""A data set in memory."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

NOT_SAID = 3.0  # in the middle of 1 to 5


@dataclass(frozen=True, slots=True)
class CatalogueItem:
    """What is known of an item beside its events. `year` is None, and `genres` empty, where the source does not say."""

    item_id: str
    title: str = ""
    year: int | None = None
    genres: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """Events, oldest first; those of the same moment stay in the order of the source.

    users, items: [events] int32, places in `user_ids` and `item_ids`; values: [events] float32, ratings or what the action is measured in,
    NOT_SAID where the source says none; `said`: [events] where it does (None: everywhere).
    times_ms: [events] int64, since the epoch. `catalogue` has one item per `item_ids`, also those without events;
    `ages` has a user's age in years where the source tells it.
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

    def __len__(self) -> int:
        return len(self.users)

    def cut(self, limit: int | None) -> "Dataset":
        """The first `limit` events."""
        return self.at(slice(limit))

    def at(self, places: slice | NDArray[np.int64]) -> "Dataset":
        """The events at `places`, which are in order."""
        columns = {name: getattr(self, name)[places] for name in ("users", "items", "values", "times_ms")}
        return replace(self, **columns, has_value=None if self.has_value is None else self.has_value[places])


def build(
    name: str,
    users: Sequence[str],
    items: Sequence[str],
    values: NDArray[np.float32],
    times_sec: NDArray[np.float64],
    catalogue: Sequence[CatalogueItem],
    ages: Mapping[str, int],
) -> Dataset:
    """Number the ids, put the events in order of time, and give every item an entry in the catalogue. Values of NaN are not said."""
    known = {item.item_id for item in catalogue}
    # In no order that says when they first come up.
    unlisted = [CatalogueItem(item_id) for item_id in sorted(set(items) - known, key=_scattered)]
    everything = (*catalogue, *unlisted)
    item_ids = tuple(item.item_id for item in everything)
    user_ids = tuple(dict.fromkeys(users))
    item_places = {item_id: place for place, item_id in enumerate(item_ids)}
    user_places = {user_id: place for place, user_id in enumerate(user_ids)}
    order = np.argsort(times_sec, kind="stable")
    return Dataset(
        name=name,
        user_ids=user_ids,
        item_ids=item_ids,
        users=np.array([user_places[user] for user in users], np.int32)[order],
        items=np.array([item_places[item] for item in items], np.int32)[order],
        values=np.where(np.isnan(values), np.float32(NOT_SAID), values)[order],
        times_ms=np.rint(times_sec[order] * 1000).astype(np.int64),
        catalogue=everything,
        ages=ages,
        has_value=~np.isnan(values)[order],
    )


def _scattered(item_id: str) -> bytes:
    return hashlib.blake2b(item_id.encode(), digest_size=8).digest()
