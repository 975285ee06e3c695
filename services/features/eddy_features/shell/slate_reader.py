"""Reads `recommendations` of the worker's partitions up to the present, so that an impression finds its slate.

A client can only report a slate that it has received, so an impression comes after its slate. Nothing is committed: a new owner of a
partition reads the slates of the last hour again (`EDDY_FEATURES_SLATES_SEC`).
"""

from collections.abc import Iterable
from contextlib import AsyncExitStack

from eddy.clock import Clock
from eddy.contract.topics import RECOMMENDATIONS
from eddy.kafka.bus import Bus, Reader
from eddy_features.core.slates import ServedSlates

_POLL_MS = 200


class SlateReader:
    """Adds new slates to `slates`. Use it as a context, from one task at a time."""

    def __init__(self, bus: Bus, slates: ServedSlates, clock: Clock) -> None:
        self._bus = bus
        self._slates = slates
        self._clock = clock
        self._stack = AsyncExitStack()
        self._reader: Reader | None = None
        self._partitions: frozenset[int] = frozenset()
        self._read_at = 0

    async def __aenter__(self) -> "SlateReader":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def read(self, partitions: Iterable[int], owned: Iterable[int]) -> None:
        """Read the slates of `partitions` up to their present end. `owned` are all partitions of the worker."""
        wanted = self._bus.topic_partitions(RECOMMENDATIONS, sorted(partitions))
        reader = await self._open(frozenset(owned) | frozenset(partitions))
        now = self._clock.now_ms()
        if now - self._read_at > self._slates.keep_ms:  # after a pause, skip what would be dropped at once
            await reader.seek_to_time(sorted(reader.assignment()), now - self._slates.keep_ms)
        self._read_at = now
        ends = await reader.end_offsets(wanted)
        while not await reader.at_end(ends):
            for message in await reader.batch(_POLL_MS):
                self._slates.add(message)

    async def _open(self, owned: frozenset[int]) -> Reader:
        """The reader of these partitions; a new one reads the slates that are still kept."""
        if self._reader is None or owned != self._partitions:
            await self._stack.aclose()
            self._stack = AsyncExitStack()
            assigned = self._bus.topic_partitions(RECOMMENDATIONS, sorted(owned))
            self._reader = await self._stack.enter_async_context(self._bus.reader(assigned))
            self._partitions = owned
            self._read_at = 0
        return self._reader
