"""A worker for each partition that is this process's, begun anew whenever one fails."""

import asyncio
import time

import structlog

from eddy.errors import FatalError
from eddy.kafka.bus import Member
from eddy.metrics import RESTARTS
from eddy.runtime import STALLED_AFTER_SEC, Health
from eddy_joiner.shell.books import SERVICE
from eddy_joiner.shell.worker import Shop, Worker

log = structlog.get_logger()

_LOOK_MS = 200
_RESTART_SEC = (0.5, 1.0, 2.0, 5.0)
# Somebody else works on our partition: time for the group to tell us that it is theirs, or them that it is ours.
_FENCED_SEC = 3.0
_STOP_SEC = 10.0


class Supervisor:
    """A worker for each partition that the group assigns (eddy.kafka.group.PartitionWork).

    The member reads nothing: workers have readers of their own.
    """

    def __init__(self, shop: Shop, health: Health) -> None:
        self._shop = shop
        self._health = health
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._workers: dict[int, Worker] = {}
        health.details["partitions"] = shop.books.partitions

    async def poll(self, member: Member) -> None:
        """Take part in the group. Raises what ended a worker that nothing can begin anew."""
        await member.poll_paused(_LOOK_MS)
        for task in self._tasks.values():
            if task.done():
                task.result()
        self._report(bool(self._tasks) or self._health.ready)

    async def revoke(self, partitions: set[int]) -> None:
        """Nothing: workers go on through a rebalance. The producer of the next owner fences ours, and most partitions stay."""

    async def assign(self, partitions: set[int]) -> None:
        """Stop the workers of partitions that went elsewhere, start those of new ones."""
        for partition in self._tasks.keys() - partitions:
            task = self._tasks.pop(partition)
            task.cancel()
            await asyncio.wait([task], timeout=2 * _STOP_SEC)
            del self._workers[partition]
            self._shop.books.leave(partition)
        for partition in partitions - self._tasks.keys():
            self._workers[partition] = Worker(self._shop, partition)
            self._tasks[partition] = asyncio.create_task(self._keep_working(partition))

    async def _keep_working(self, partition: int) -> None:
        failures = 0
        while True:
            worker = self._workers[partition]
            started = time.monotonic()
            task = asyncio.create_task(worker.run())
            try:
                await asyncio.wait([task])
            finally:
                task.cancel()
                await asyncio.wait([task], timeout=_STOP_SEC)
            # Also a cancellation that nobody asked for: aiokafka lets those of its own tasks through.
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            if isinstance(error, FatalError):
                raise error
            RESTARTS.labels(SERVICE).inc()
            failures = 0 if time.monotonic() - started > 60 else failures
            self._workers[partition] = Worker(self._shop, partition)
            log.warning("worker_failed", partition=partition, error=repr(error), exc_info=error)
            pause = _RESTART_SEC[min(failures, len(_RESTART_SEC) - 1)]
            await asyncio.sleep(_FENCED_SEC if "Fenced" in repr(error) else pause)
            failures += 1

    def _report(self, joined: bool) -> None:
        """Alive while every worker takes its turns; ready when the group has us and every partition's state is rebuilt."""
        workers = self._workers.values()
        if all(time.monotonic() - worker.last_turn < STALLED_AFTER_SEC for worker in workers):
            self._health.beat()
        self._health.ready = joined and all(worker.ready for worker in workers)
