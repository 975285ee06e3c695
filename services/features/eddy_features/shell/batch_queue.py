"""A queue of messages with a loop of its own: batches are handled one after the other while fetching goes on."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from eddy.contract.message import Message, TopicPartition

PartitionMessages = dict[TopicPartition, list[Message]]


class BatchQueue:
    """Queued messages by partition, and the loop that handles them in order, about `max_records` at a time.

    `may_start(queued)` can hold a batch back, or start one without messages; call `wake` when its answer may have changed. Batches start
    at least `interval_sec` apart, unless `max_records` are queued; the first one after a pause starts at once.
    """

    def __init__(
        self,
        handle: Callable[[Mapping[TopicPartition, list[Message]]], Awaitable[None]],
        max_records: int,
        may_start: Callable[[int], bool] = lambda queued: queued > 0,
        interval_sec: float = 0.0,
    ) -> None:
        self._interval_sec = interval_sec
        self._handle = handle
        self._max_records = max_records
        self._may_start = may_start
        self._queued: PartitionMessages = {}
        self._awake = asyncio.Event()
        self._busy = asyncio.Lock()
        self._taken = asyncio.Event()

    def __len__(self) -> int:
        return sum(map(len, self._queued.values()))

    def add(self, tp: TopicPartition, messages: list[Message]) -> None:
        self._queued.setdefault(tp, []).extend(messages)
        self._awake.set()

    def wake(self) -> None:
        """Ask `may_start` again."""
        self._awake.set()

    async def run(self) -> None:
        """Handle queued messages until cancelled. Raises the error of a handler that fails."""
        while True:
            await self._awake.wait()
            self._awake.clear()
            while self._may_start(len(self)):
                next_start = time.monotonic() + self._interval_sec
                async with self._busy:
                    batch = self._take()
                    self._taken.set()
                    await self._handle(batch)
                await self._pause_until(next_start)

    async def _pause_until(self, next_start: float) -> None:
        while len(self) < self._max_records and (remaining := next_start - time.monotonic()) > 0:
            self._awake.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._awake.wait(), remaining)

    def _take(self) -> PartitionMessages:
        """Remove and return all queued messages, or an equal share of each partition if there are more than `max_records`."""
        crowded = len(self) > self._max_records
        share = max(1, self._max_records // max(len(self._queued), 1)) if crowded else self._max_records
        batch = {tp: messages[:share] for tp, messages in self._queued.items()}
        self._queued = {tp: messages[share:] for tp, messages in self._queued.items() if len(messages) > share}
        return batch

    async def wait_for_room(self, limit: int) -> None:
        """Return when at most `limit` messages are queued."""
        while len(self) > limit:
            self._taken.clear()
            self._awake.set()
            await self._taken.wait()

    async def discard(self) -> None:
        """Drop the queued messages, and return when no batch is being handled."""
        self._queued = {}
        self._taken.set()
        async with self._busy:
            pass
