"""A worker for each assigned partition, replaced when it fails."""

import asyncio
import time

import structlog

from eddy.errors import FatalError
from eddy.kafka.bus import Member
from eddy.kafka.permissions import PERMISSION_ERRORS
from eddy.metrics import RESTARTS
from eddy.runtime import STALLED_AFTER_SEC, Health
from eddy_joiner.shell.impression_ledger import SERVICE
from eddy_joiner.shell.worker import Worker, WorkerContext

log = structlog.get_logger()

_POLL_MS = 200
_RESTART_SEC = (0.5, 1.0, 2.0, 5.0)
# Another instance works on the partition as well: time for the group to complete the rebalance on either side.
_FENCED_SEC = 3.0
_STOP_SEC = 10.0


class Supervisor:
    """A worker for each partition that the group assigns (eddy.kafka.group.PartitionWork).

    The group member reads nothing itself: workers have their own readers.
    """

    def __init__(self, context: WorkerContext, health: Health) -> None:
        self._context = context
        self._health = health
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._workers: dict[int, Worker] = {}
        health.details["partitions"] = context.ledger.partitions

    async def poll(self, member: Member) -> None:
        """Take part in the group. Raises the error of a worker that cannot be replaced: FatalError, or a missing permission."""
        await member.poll_paused(_POLL_MS)
        for task in self._tasks.values():
            if task.done():
                task.result()
        self._report(bool(self._tasks) or self._health.ready)

    async def revoke(self, partitions: set[int]) -> None:
        """Do nothing: workers continue through a rebalance. Most partitions stay, and the next owner of a moved one fences its producer."""

    async def assign(self, partitions: set[int]) -> None:
        """Stop the workers of partitions that moved away, and start workers for new partitions."""
        for partition in self._tasks.keys() - partitions:
            task = self._tasks.pop(partition)
            task.cancel()
            await asyncio.wait([task], timeout=2 * _STOP_SEC)
            del self._workers[partition]
            self._context.ledger.hand_over(partition)
        for partition in partitions - self._tasks.keys():
            self._workers[partition] = Worker(self._context, partition)
            self._tasks[partition] = asyncio.create_task(self._supervise(partition))

    async def _supervise(self, partition: int) -> None:
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
            # A cancelled task counts as failed too: aiokafka passes on the cancellation of its own tasks.
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            if isinstance(error, (FatalError, *PERMISSION_ERRORS)):
                raise error
            RESTARTS.labels(SERVICE).inc()
            failures = 0 if time.monotonic() - started > 60 else failures
            self._workers[partition] = Worker(self._context, partition)
            log.warning("worker_failed", partition=partition, error=repr(error), exc_info=error)
            pause = _RESTART_SEC[min(failures, len(_RESTART_SEC) - 1)]
            await asyncio.sleep(_FENCED_SEC if "Fenced" in repr(error) else pause)
            failures += 1

    def _report(self, joined: bool) -> None:
        """Report alive while every worker makes progress; ready once this member has joined and every partition is rebuilt."""
        workers = self._workers.values()
        if all(time.monotonic() - worker.last_turn < STALLED_AFTER_SEC for worker in workers):
            self._health.beat()
        self._health.ready = joined and all(worker.ready for worker in workers)
