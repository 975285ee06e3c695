"""The serving loop: ranks waiting requests in batches."""

import asyncio
from collections.abc import Callable, Iterable

from eddy.clock import Clock
from eddy.metrics import BATCH_RECORDS, LATE_ANSWERS
from eddy.runtime import Health
from eddy_scorer.core.broker_clock import BrokerClock
from eddy_scorer.core.ranking.recommender import Recommender
from eddy_scorer.core.ranking.request import PUSHED, Request
from eddy_scorer.core.state.users import User
from eddy_scorer.shell.request_queue import QueuedRequest, RequestQueue
from eddy_scorer.shell.service import SERVICE
from eddy_scorer.shell.slate_publisher import SlatePublisher

_BEAT_SEC = 1.0


class ServingLoop:
    """Answers waiting requests in batches. `wake` signals that a request may be ready. Deadlines are times of the broker's clock."""

    def __init__(
        self,
        recommender: Recommender,
        queue: RequestQueue,
        publisher: SlatePublisher,
        clock: Clock,
        broker_clock: BrokerClock,
        health: Health,
        max_batch: int,
    ) -> None:
        self._recommender = recommender
        self._queue = queue
        self._publisher = publisher
        self._clock = clock
        self._broker_clock = broker_clock
        self._health = health
        self._max_batch = max_batch
        self._work_available = asyncio.Event()

    def wake(self) -> None:
        """Check for requests that can be answered."""
        self._work_available.set()

    async def run(
        self, on_done: Callable[[Iterable[QueuedRequest]], None], drop_useless: Callable[[int, bool], None]
    ) -> None:
        """Serve until cancelled. `on_done(requests)` is called when their slates are published.

        `drop_useless(now, keep_newest)` is called before each batch.
        """
        while True:
            await self._wait()
            self._expire(drop_useless)
            while self._queue.ready:
                await self._serve_batch(on_done)
                self._expire(drop_useless)
            self._health.beat()

    def _expire(self, drop_useless: Callable[[int, bool], None]) -> None:
        """Release requests that waited for features until their deadline, however many others are ready; drop what is too late.

        While the clocks have not been compared, the newest request is answered in any case, because its slate compares them.
        """
        now = self._broker_clock.now_ms()
        LATE_ANSWERS.inc(self._queue.expire(now))
        drop_useless(now, not self._broker_clock.is_compared)

    async def _serve_batch(self, on_done: Callable[[Iterable[QueuedRequest]], None]) -> None:
        requests = self._queue.take(self._max_batch)
        BATCH_RECORDS.labels(SERVICE).observe(len(requests))
        records = self._recommender.recommend([queued.request for queued in requests], self._clock.now_ms())
        await self._publisher.publish(requests, records, on_done)
        self._health.beat()
        # Let readers run before the next batch.
        await asyncio.sleep(0)

    async def _wait(self) -> None:
        deadline = self._queue.next_deadline()
        timeout_sec = _BEAT_SEC if deadline is None else (deadline - self._broker_clock.now_ms()) / 1000
        try:
            async with asyncio.timeout(min(max(timeout_sec, 0.0), _BEAT_SEC)):
                await self._work_available.wait()
        except TimeoutError:
            pass
        self._work_available.clear()


class SlatePusher:
    """Pushes a slate when a user's history or rejected items change, if the scenario of the newest interaction has `push: true`."""

    def __init__(self, recommender: Recommender, queue: RequestQueue, limit: int) -> None:
        self._recommender = recommender
        self._queue = queue
        self._limit = limit

    def user_changed(self, user_id: str, former: User, user: User) -> None:
        """Queue a push if the history or the rejected items changed.

        An impression changes neither, so showing a pushed slate triggers no other.
        """
        state = self._recommender.state
        changed = user.packed != former.packed or user.rejected != former.rejected
        newest = state.users.newest(user) if changed else None
        if newest is None:
            return
        scenario, at = newest
        rules = state.scenarios.get(scenario)
        if rules and rules.push:
            self._queue.push(QueuedRequest(self._request(user_id, user, scenario, at)))

    def _request(self, user_id: str, user: User, scenario: str, at: int) -> Request:
        # The id contains the event's offset, so that a push repeated after a crash has the same id.
        return Request(
            request_id=f"push-{user.partition}-{user.applied_offset}",
            user_id=user_id,
            scenario=scenario,
            limit=self._limit,
            requested_at=at,
            trigger=PUSHED,
        )
