"""A queue with a loop of its own: what waits is handled in batches, one after the other, while fetching goes on."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from eddy.contract.message import Message, TopicPartition

Waiting = dict[TopicPartition, list[Message]]


class Lane:
    """Messages by partition that wait, and the loop that handles them in order, as many at a time as are there (about `most`).

    `may_start(waiting)` can hold a batch back; call `wake` when its answer may have changed. Batches start at least `interval_sec` apart;
    the first after a pause starts at once.
    """

    def __init__(
        self,
        handle: Callable[[Mapping[TopicPartition, list[Message]]], Awaitable[None]],
        most: int,
        may_start: Callable[[int], bool] = lambda waiting: True,
        interval_sec: float = 0.0,
    ) -> None:
        self._interval_sec = interval_sec
        self._handle = handle
        self._most = most
        self._may_start = may_start
        self._waiting: Waiting = {}
        self._awake = asyncio.Event()
        self._busy = asyncio.Lock()
        self._taken = asyncio.Event()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, tp: TopicPartition, messages: list[Message]) -> None:
        self._waiting.setdefault(tp, []).extend(messages)
        self._awake.set()

    def wake(self) -> None:
        self._awake.set()

    async def run(self) -> None:
        """Handle what comes, until cancelled or until handling fails."""
        while True:
            await self._awake.wait()
            self._awake.clear()
            while self._waiting and self._may_start(len(self)):
                next_start = time.monotonic() + self._interval_sec
                async with self._busy:
                    batch = self._take()
                    self._taken.set()
                    await self._handle(batch)
                await asyncio.sleep(next_start - time.monotonic())

    def _take(self) -> Waiting:
        """All that waits, or a fair share of each partition."""
        share = max(1, self._most // max(len(self._waiting), 1)) if len(self) > self._most else self._most
        batch = {tp: messages[:share] for tp, messages in self._waiting.items()}
        self._waiting = {tp: messages[share:] for tp, messages in self._waiting.items() if len(messages) > share}
        return batch

    async def room(self, limit: int) -> None:
        """Return when at most `limit` messages wait."""
        while len(self) > limit:
            self._taken.clear()
            self._awake.set()
            await self._taken.wait()

    async def settle(self) -> None:
        """Drop what waits, and return when nothing is being handled."""
        self._waiting = {}
        self._taken.set()
        async with self._busy:
            pass
