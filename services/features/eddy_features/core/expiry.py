"""Finds users and items whose newest event is too old, a few at a time."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from eddy.contract.avro.arrays import read_block
from eddy.contract.avro.values import read_bytes, read_long
from eddy.contract.codec import HEADER_BYTES, Codec
from eddy.contract.expiry import EventClock
from eddy.contract.records import ItemFeatures, UserFeatures
from eddy.errors import DecodeError
from eddy_features.core.precedence import ITEM_HEADER, USER_HEADER

SWEPT_PER_BATCH = 500


class Expiry:
    """Goes through the records of each partition again and again, SWEPT_PER_BATCH at each call. 0 `days` expire nothing."""

    def __init__(self, days: float, as_of: Callable[[bytes], int]) -> None:
        self._days = days
        self._as_of = as_of
        self._clocks: dict[int, EventClock] = {}
        self._sweeps: dict[int, Iterator[bytes]] = {}

    def expired(self, partition: int, times: Iterable[int], records: Mapping[bytes, bytes]) -> list[bytes]:
        """The keys of expired records among the next ones of a partition, after events at `times`."""
        clock = self._clocks.setdefault(partition, EventClock())
        clock.add(times)
        limit = clock.limit(self._days)
        if limit is None:
            return []
        keys = self._sweeps.get(partition, iter(()))
        found = []
        for number in range(SWEPT_PER_BATCH):
            key = next(keys, None)
            if key is None:
                if not number:
                    self._sweeps[partition] = iter(list(records))
                break
            record = records.get(key)
            if record is not None and self._as_of(record) < limit:
                found.append(key)
        return found


def user_as_of(record: bytes) -> int:
    """The time of the newest event in a `user_features` record; one that is not readable does not expire."""
    try:
        if record.startswith(USER_HEADER):
            _, position = read_long(record, read_bytes(record, HEADER_BYTES)[1])
            return read_long(record, position)[0]
        return Codec.of(UserFeatures).decode(record)["as_of"]
    except (DecodeError, IndexError, ValueError):
        return 2**63


def item_as_of(record: bytes) -> int:
    """As `user_as_of`, for an `item_features` record."""
    try:
        if record.startswith(ITEM_HEADER):
            _, _, position = read_block(record, read_bytes(record, HEADER_BYTES)[1])
            return read_long(record, position)[0]
        return Codec.of(ItemFeatures).decode(record)["as_of"]
    except (DecodeError, IndexError, ValueError):
        return 2**63
