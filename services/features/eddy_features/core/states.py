"""A cache of decoded states over their encoded records: recently used states are decoded, all others are a few hundred bytes."""

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import Generic, Protocol, TypeVar

import structlog

from eddy.errors import DecodeError

log = structlog.get_logger()

S = TypeVar("S")


class StateRecords(Protocol):
    """Acknowledged records by partition and key."""

    def read(self, partition: int, key: bytes) -> bytes | None: ...

    def write(self, partition: int, key: bytes, value: bytes | None) -> None:
        """Keep an acknowledged record, or with None delete it."""


class DictRecords:
    """Records in a dictionary, for use without Kafka."""

    def __init__(self) -> None:
        self.records: dict[tuple[int, bytes], bytes] = {}

    def read(self, partition: int, key: bytes) -> bytes | None:
        return self.records.get((partition, key))

    def write(self, partition: int, key: bytes, value: bytes | None) -> None:
        if value is None:
            self.records.pop((partition, key), None)
        else:
            self.records[partition, key] = value


class StateCache(Generic[S]):
    """States by partition and key.

    `take` returns a state that may be changed in place. Call `store` when its record is acknowledged. If the write fails, call `clear`:
    states are then decoded from the acknowledged records again.
    """

    def __init__(
        self, records: StateRecords, decode: Callable[[bytes], S], new: Callable[[], S], capacity: int
    ) -> None:
        self._records = records
        self._decode = decode
        self._new = new
        self._capacity = capacity
        self._decoded: OrderedDict[tuple[int, bytes], S] = OrderedDict()
        self._fresh: set[tuple[int, bytes]] = set()  # those of `_decoded` that were new and have no record yet

    def take(self, partition: int, key: bytes) -> S:
        """Return the state of `key`, a new one if it has no record."""
        slot = (partition, key)
        state = self._decoded.get(slot)
        if state is None:
            state = self._decoded[slot] = self._read(partition, key)
        else:
            self._decoded.move_to_end(slot)
        return state

    def drop(self, partition: int, key: bytes) -> None:
        """Drop a decoded state whose record is about to be deleted."""
        self._decoded.pop((partition, key), None)

    def renew(self, partition: int, key: bytes) -> S:
        """Replace the state of `key` by a new one, which is returned. Then `store` its record, or None."""
        state = self._decoded[partition, key] = self._new()
        self._fresh.add((partition, key))
        return state

    def _read(self, partition: int, key: bytes) -> S:
        record = self._records.read(partition, key)
        if record is None:
            self._fresh.add((partition, key))
            return self._new()
        try:
            return self._decode(record)
        except DecodeError as error:
            # Another program wrote to the topic. Reset this one key rather than stop all of them.
            log.error("state_unreadable", partition=partition, detail=error.detail)
            return self._new()

    def store(self, partition: int, key: bytes, record: bytes | None) -> None:
        """Keep an acknowledged record; None is a deletion."""
        self._records.write(partition, key, record)

    def evict(self, is_kept: Callable[[int, bytes], bool] = lambda partition, key: False) -> None:
        """Drop the least recently used decoded states above the capacity, and new ones that have no record, such as those of what was
        erased; but none that `is_kept`.

        Every state that was changed must have been stored, or be kept.
        """
        kept = {slot for slot in self._fresh if is_kept(*slot)}
        for slot in self._fresh - kept:
            if self._records.read(*slot) is None:
                self._decoded.pop(slot, None)
        self._fresh = kept
        surplus = len(self._decoded) - self._capacity
        if surplus > 0:
            for slot in list(islice((slot for slot in self._decoded if not is_kept(*slot)), surplus)):
                del self._decoded[slot]

    def clear(self) -> None:
        """Drop all decoded states."""
        self._decoded.clear()
        self._fresh.clear()
