"""What is played: a data set's events in time order, what they are played as, and the items they are about."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eddy.contract.records import Item
from eddy_cli.replay.event_kind import MOVIELENS, EventKind


@dataclass(frozen=True, slots=True)
class Stream:
    """Parallel columns, one place per event, oldest first; `users` and `items` index `user_ids` and `item_ids`.

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
        """Which events are judged: those that are not their user's first, and the first of their user on their item."""
        first = np.zeros(len(self), bool)
        first[np.unique(np.array(self.users, np.int64), return_index=True)[1]] = True
        return self._new_to_user() & ~first

    def rated(self) -> NDArray[np.bool_]:
        """Which events say a value, and are the first of their user on their item."""
        said = np.array([value is not None for value in self.values], bool)
        return np.asarray(self._new_to_user() & said)

    def _new_to_user(self) -> NDArray[np.bool_]:
        pairs = np.array(self.users, np.int64) * len(self.item_ids) + np.array(self.items, np.int64)
        new = np.zeros(len(self), bool)
        new[np.unique(pairs, return_index=True)[1]] = True
        return new

    def at_least(self, least: float) -> NDArray[np.bool_]:
        """Which events say a value of at least that."""
        return np.array([value is not None and value >= least for value in self.values], bool)

    def cut(self, limit: int | None = None, users: int | None = None) -> "Stream":
        """The first `limit` events of the first `users` users to appear."""
        kept = set(self.users) if users is None else set(list(dict.fromkeys(self.users))[:users])
        return self._at([place for place, user in enumerate(self.users) if user in kept][:limit])

    def where(self, wanted: Sequence[bool] | NDArray[np.bool_]) -> "Stream":
        """The events that are `wanted`."""
        return self._at([place for place, keep in enumerate(wanted) if keep])

    def _at(self, places: Sequence[int]) -> "Stream":
        return Stream(
            self.dataset,
            self.user_ids,
            self.item_ids,
            [self.users[place] for place in places],
            [self.items[place] for place in places],
            [self.values[place] for place in places],
            [self.times_ms[place] for place in places],
            self.catalogue,
            self.event_kind,
        )
