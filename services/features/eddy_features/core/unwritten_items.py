"""Which item states are due to be written, and from which offset their signals would have to be read again. No Kafka, no clock.

Most signals are impressions: a slate gives one for each of its items. A record for each of them would be most of what is written to
`item-features`, and of what scorers read, so that an item that was only shown waits for more signals.
"""

from collections.abc import Iterator, Mapping
from heapq import nsmallest
from typing import NamedTuple


class Change(NamedTuple):
    """How messages of `item_signals` changed an item: the offset of the first of them, and whether they are impressions alone."""

    offset: int
    only_shown: bool


class UnwrittenItems:
    """Items whose state includes signals that their record lacks, by partition.

    An item with an interaction or an erasure is due at once, with all its signals. One that was only shown is due `wait_sec` after its
    first signal, or earlier if more than `maximum` items wait.
    """

    def __init__(self, wait_sec: float, maximum: int) -> None:
        self._wait_sec = wait_sec
        self._maximum = maximum
        # Offset of the first signal and due time, in the order of offsets: an item that is written and changed again is appended.
        self._items: dict[int, dict[bytes, tuple[int, float]]] = {}
        self._ends: dict[int, int] = {}

    def __len__(self) -> int:
        return sum(map(len, self._items.values()))

    def holds(self, partition: int, key: bytes) -> bool:
        """Whether the item's record lacks signals that its state includes."""
        return key in self._items.get(partition, ())

    def add(self, partition: int, changes: Mapping[bytes, Change], end: int, now: float) -> None:
        """Add the items that the messages before offset `end` changed, in the order of the offsets of their changes."""
        self._ends[partition] = end
        items = self._items.setdefault(partition, {})
        for key, change in changes.items():
            offset, due_at = items.get(key, (change.offset, now + self._wait_sec))
            items[key] = (offset, due_at if change.only_shown else now)

    def is_due(self, now: float) -> bool:
        """Whether any item is due."""
        return any(due_at <= now for _, _, due_at in self._waiting())

    def due(self, now: float) -> dict[int, list[bytes]]:
        """Return the items that are due, by partition. Call `written` when their records are acknowledged."""
        due: dict[int, list[bytes]] = {partition: [] for partition in self._items}
        waiting = []
        for partition, key, due_at in self._waiting():
            if due_at <= now:
                due[partition].append(key)
            else:
                waiting.append((due_at, partition, key))
        for _, partition, key in nsmallest(len(waiting) - self._maximum, waiting):
            due[partition].append(key)
        return due

    def written(self, due: Mapping[int, list[bytes]]) -> dict[int, int]:
        """Remove these items. Returns the offset by partition before which records include every signal, so that it may be committed."""
        for partition, keys in due.items():
            for key in keys:
                del self._items[partition][key]
        return {
            partition: next(iter(items.values()))[0] if items else self._ends[partition]
            for partition, items in self._items.items()
        }

    def clear(self) -> None:
        """Drop all items: their signals will be read again."""
        self._items.clear()
        self._ends.clear()

    def _waiting(self) -> Iterator[tuple[int, bytes, float]]:
        for partition, items in self._items.items():
            for key, (_, due_at) in items.items():
                yield partition, key, due_at
