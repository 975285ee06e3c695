"""Finds users and items whose newest event is too old, a few at a time."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from eddy.contract.expiry import EventClock

SWEPT_PER_BATCH = 50


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
        expired = []
        for number in range(SWEPT_PER_BATCH):
            key = next(keys, None)
            if key is None:
                if not number:
                    self._sweeps[partition] = iter(list(records))
                break
            record = records.get(key)
            if record is not None and self._as_of(record) < limit:
                expired.append(key)
        return expired
