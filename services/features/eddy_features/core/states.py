"""Decoded states over encoded ones: what is at hand is decoded once, what is not is a few hundred bytes."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import structlog

from eddy.errors import DecodeError

log = structlog.get_logger()

S = TypeVar("S")


class StateRecords(Protocol):
    """Published records by partition and key: all that has been acknowledged, nothing else."""

    def read(self, partition: int, key: bytes) -> bytes | None: ...

    def write(self, partition: int, key: bytes, value: bytes) -> None: ...


class DictRecords:
    """Published records in a plain dictionary, for computing without Kafka."""

    def __init__(self) -> None:
        self.records: dict[tuple[int, bytes], bytes] = {}

    def read(self, partition: int, key: bytes) -> bytes | None:
        return self.records.get((partition, key))

    def write(self, partition: int, key: bytes, value: bytes) -> None:
        self.records[partition, key] = value


class StateCache(Generic[S]):
    """States by partition and key.

    A state taken out may be changed in place; once its record is acknowledged call `written`. When the writing fails, call
    `forget`: every state then comes from the acknowledged records again.
    """

    def __init__(
        self, encoded: StateRecords, decode: Callable[[bytes], S], new: Callable[[], S], capacity: int
    ) -> None:
        self._encoded = encoded
        self._decode = decode
        self._new = new
        self._capacity = capacity
        self._decoded: OrderedDict[tuple[int, bytes], S] = OrderedDict()

    def take(self, partition: int, key: bytes) -> S:
        """The state of `key`, a new one when nothing is known of it."""
        place = (partition, key)
        state = self._decoded.get(place)
        if state is None:
            state = self._decoded[place] = self._read(partition, key)
        else:
            self._decoded.move_to_end(place)
        return state

    def _read(self, partition: int, key: bytes) -> S:
        record = self._encoded.read(partition, key)
        if record is None:
            return self._new()
        try:
            return self._decode(record)
        except DecodeError as error:
            # Somebody else wrote to our topic. One key starts anew, rather than all keys standing still.
            log.error("state_unreadable", partition=partition, key=key, detail=error.detail)
            return self._new()

    def store(self, partition: int, key: bytes, record: bytes) -> None:
        self._encoded.write(partition, key, record)

    def evict(self) -> None:
        """Drop the least recently used decoded states above the capacity; nothing may be taken and not yet written."""
        while len(self._decoded) > self._capacity:
            self._decoded.popitem(last=False)

    def clear(self) -> None:
        """Drop everything decoded."""
        self._decoded.clear()
