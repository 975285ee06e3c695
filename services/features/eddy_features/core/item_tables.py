"""What a user's record keeps by item, beyond the history: the items that the user interacted with, and the last ratings.

Each table is packed as in the record: entries of a fixed size in the order in which they were added, each with a digest, an event time and
a number. Above its maximum, a table drops the entry with the oldest event time: events of long ago displace nothing recent.
"""

from dataclasses import dataclass, field
from struct import Struct
from typing import NamedTuple

import numpy as np

from eddy.contract.digests import REJECTED_ENTRY, SEEN_ENTRY, digest_of, item_digest
from eddy.errors import DecodeError

# One user's interactions with an item count less and less: the n-th counts 1 / n, where interactions of the past decay with this half-life.
REPEAT_HALF_LIFE_SEC = 30 * 24 * 3600.0
# A user's first interaction has 0 earlier ones, and no other has, however long ago they were.
_LEAST_REPEATS = 1e-6
_MOST_REPEATS = 60_000.0  # float16 ends at 65,504

_MS = 1000
_LAST_SECOND = 2**32 - 1
_SEEN_TIMES = np.dtype([("digest", "V8"), ("at", "<u4"), ("repeats", "<f2")])
_RATING = Struct("<8sqf")
_RATING_TIMES = np.dtype([("digest", "V8"), ("at", "<i8"), ("value", "<f4")])
_REJECTED_TIMES = np.dtype([("digest", "V8"), ("at", "<i8")])


class Rating(NamedTuple):
    """What an explicit rating changes: it replaces the user's rating `former` (None for none). A late one changes nothing."""

    is_newest: bool
    former: float | None


@dataclass(slots=True)
class SeenItems:
    """The items that a user interacted with, each with the time of the last interaction and their decayed number."""

    packed: bytearray = field(default_factory=bytearray)

    @property
    def count(self) -> int:
        """Number of items."""
        return len(self.packed) // SEEN_ENTRY.size

    def add(self, item_id: str, at: int, maximum: int) -> float:
        """Include an interaction at event time `at` (ms); returns the decayed number of earlier ones, 0 for a new item."""
        digest, second = item_digest(item_id), min(max(at // _MS, 0), _LAST_SECOND)
        start = find_entry(self.packed, digest, SEEN_ENTRY.size)
        if start < 0:
            self.packed += SEEN_ENTRY.pack(digest, second, 1.0)
            _drop_oldest(self.packed, _SEEN_TIMES, maximum)
            return 0.0
        _, last, count = SEEN_ENTRY.unpack_from(self.packed, start)
        repeats = max(count * 2.0 ** (-max(second - last, 0) / REPEAT_HALF_LIFE_SEC), _LEAST_REPEATS)
        SEEN_ENTRY.pack_into(self.packed, start, digest, max(second, last), min(repeats + 1.0, _MOST_REPEATS))
        return float(repeats)

    def is_newer(self, item_id: str, at: int) -> bool:
        """Whether there is an interaction with the item in a second after that of event time `at` (ms)."""
        start = find_entry(self.packed, item_digest(item_id), SEEN_ENTRY.size)
        return start >= 0 and SEEN_ENTRY.unpack_from(self.packed, start)[1] > at // _MS


@dataclass(slots=True)
class LastRatings:
    """The last explicit rating of each item and scenario by event time."""

    packed: bytearray = field(default_factory=bytearray)

    def add(self, scenario: str, item_id: str, at: int, value: float, maximum: int) -> Rating:
        """Include a rating at event time `at` (ms)."""
        digest = digest_of(f"{scenario}/{item_id}")
        start = find_entry(self.packed, digest, _RATING.size)
        if start < 0:
            self.packed += _RATING.pack(digest, at, value)
            _drop_oldest(self.packed, _RATING_TIMES, maximum)
            return Rating(True, None)
        _, last, former = _RATING.unpack_from(self.packed, start)
        if at < last:
            return Rating(False, None)
        _RATING.pack_into(self.packed, start, digest, at, value)
        return Rating(True, former)


@dataclass(slots=True)
class RejectedItems:
    """The items whose last feedback by event time was a rejection, each with its time."""

    packed: bytearray = field(default_factory=bytearray)

    def add(self, item_id: str, at: int, maximum: int) -> None:
        """Include a rejection at event time `at` (ms)."""
        digest = item_digest(item_id)
        start = find_entry(self.packed, digest, REJECTED_ENTRY.size)
        if start < 0:
            self.packed += REJECTED_ENTRY.pack(digest, at)
            _drop_oldest(self.packed, _REJECTED_TIMES, maximum)
        elif REJECTED_ENTRY.unpack_from(self.packed, start)[1] < at:
            REJECTED_ENTRY.pack_into(self.packed, start, digest, at)

    def withdraw(self, item_id: str, at: int) -> None:
        """Include a positive interaction at event time `at` (ms): it ends an earlier rejection."""
        if not self.packed:
            return
        start = find_entry(self.packed, item_digest(item_id), REJECTED_ENTRY.size)
        if start >= 0 and REJECTED_ENTRY.unpack_from(self.packed, start)[1] <= at:
            del self.packed[start : start + REJECTED_ENTRY.size]


def seen_items(record: bytes) -> SeenItems:
    """The table in a record's `seen_items`. Raises DecodeError for another size."""
    return SeenItems(_whole_entries("seen_items", record, SEEN_ENTRY.size))


def last_ratings(record: bytes) -> LastRatings:
    """The table in a record's `ratings`. Raises DecodeError for another size."""
    return LastRatings(_whole_entries("ratings", record, _RATING.size))


def rejected_items(record: bytes) -> RejectedItems:
    """The table in a record's `rejected_items`. Raises DecodeError for another size."""
    return RejectedItems(_whole_entries("rejected_items", record, REJECTED_ENTRY.size))


def _whole_entries(name: str, record: bytes, size: int) -> bytearray:
    if len(record) % size:
        raise DecodeError(f"user_features: {name} has {len(record)} bytes, which are no entries of {size} bytes")
    return bytearray(record)


def find_entry(packed: bytearray, digest: bytes, size: int) -> int:
    """Position of the entry of `digest`, -1 for none."""
    position = packed.find(digest)
    while position > 0 and position % size:
        position = packed.find(digest, position + 1)
    return position


def _drop_oldest(packed: bytearray, layout: np.dtype[np.void], maximum: int) -> None:
    """Drop the entry with the oldest time if there are more than `maximum`."""
    if len(packed) > maximum * layout.itemsize:
        start = int(np.frombuffer(bytes(packed), layout)["at"].argmin()) * layout.itemsize
        del packed[start : start + layout.itemsize]
