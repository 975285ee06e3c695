"""The events of a replay in time order, their kind, and the items."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eddy.contract.records import Item
from eddy_cli.replay.event_kind import MOVIELENS, EventKind


@dataclass(frozen=True, slots=True)
class Stream:
    """Parallel columns, one row per event, oldest first; `users` and `items` index `user_ids` and `item_ids`.

    `catalogue` holds the `item` record of every item, whether or not somebody acts on it. Every event is played
    in the same `event_kind`; `values` are None where the data say none.
    """

    dataset: str
    user_ids: Sequence[str]
    item_ids: Sequence[str]
    users: Sequence[int]
    items: Sequence[int]
    values: Sequence[float | None]
    times_ms: Sequence[int]
    catalogue: Sequence[Item]
    event_kind: EventKind = MOVIELENS

    def __len__(self) -> int:
        return len(self.users)

    def scored(self) -> NDArray[np.bool_]:
        """Which events count for the score: not the user's first event, and the user's first event on the item."""
        first = np.zeros(len(self), bool)
        first[np.unique(np.array(self.users, np.int64), return_index=True)[1]] = True
        return self._new_to_user() & ~first

    def rated(self) -> NDArray[np.bool_]:
        """Which events have a value and are their user's first on the item."""
        has_value = np.array([value is not None for value in self.values], bool)
        return np.asarray(self._new_to_user() & has_value)

    def _new_to_user(self) -> NDArray[np.bool_]:
        pairs = np.array(self.users, np.int64) * len(self.item_ids) + np.array(self.items, np.int64)
        new = np.zeros(len(self), bool)
        new[np.unique(pairs, return_index=True)[1]] = True
        return new

    def at_least(self, minimum: float) -> NDArray[np.bool_]:
        """Which events have a value of at least `minimum`."""
        return np.array([value is not None and value >= minimum for value in self.values], bool)

    def cut(self, limit: int | None = None, users: int | None = None) -> "Stream":
        """The first `limit` events of the first `users` users to appear."""
        kept = set(self.users) if users is None else set(list(dict.fromkeys(self.users))[:users])
        return self._at([index for index, user in enumerate(self.users) if user in kept][:limit])

    def where(self, mask: Sequence[bool] | NDArray[np.bool_]) -> "Stream":
        """The events for which `mask` is true."""
        return self._at([index for index, keep in enumerate(mask) if keep])

    def _at(self, indices: Sequence[int]) -> "Stream":
        return Stream(
            self.dataset,
            self.user_ids,
            self.item_ids,
            [self.users[index] for index in indices],
            [self.items[index] for index in indices],
            [self.values[index] for index in indices],
            [self.times_ms[index] for index in indices],
            self.catalogue,
            self.event_kind,
        )
