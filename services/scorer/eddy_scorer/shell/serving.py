"""The scoring loop: everybody who can be answered, in batches."""

import asyncio
from collections.abc import Callable, Iterable

from eddy.clock import Clock
from eddy.metrics import BATCH_RECORDS, LATE_ANSWERS
from eddy.runtime import Health
from eddy_scorer.core.ranking.recommender import Recommender
from eddy_scorer.core.ranking.request import PUSHED, Request
from eddy_scorer.core.state.users import User
from eddy_scorer.shell.request_queue import QueuedRequest, RequestQueue
from eddy_scorer.shell.service import SERVICE
from eddy_scorer.shell.slate_publisher import SlatePublisher

_BEAT_SEC = 1.0


class ServingLoop:
    """Scores who waits, as soon as somebody does; `wake` says that somebody may."""

    def __init__(
        self,
        recommender: Recommender,
        queue: RequestQueue,
        publisher: SlatePublisher,
        clock: Clock,
        health: Health,
        max_batch: int,
    ) -> None:
        self._recommender = recommender
        self._queue = queue
        self._publisher = publisher
        self._clock = clock
        self._health = health
        self._max_batch = max_batch
        self._work_available = asyncio.Event()

    def wake(self) -> None:
        """Look who can be answered."""
        self._work_available.set()

    async def run(self, on_done: Callable[[Iterable[QueuedRequest]], None]) -> None:
        """Score until cancelled; `on_done(tickets)` when their slates are published."""
        while True:
            await self._wait()
            self._expire()
            while self._queue.ready:
                await self._turn(on_done)
                self._expire()
            self._health.beat()

    def _expire(self) -> None:
        """However many are ready: whose time is up is answered with what there is."""
        LATE_ANSWERS.inc(self._queue.expire(self._clock.now_ms()))

    async def _turn(self, on_done: Callable[[Iterable[QueuedRequest]], None]) -> None:
        tickets = self._queue.take(self._max_batch)
        BATCH_RECORDS.labels(SERVICE).observe(len(tickets))
        records = self._recommender.recommend([ticket.request for ticket in tickets], self._clock.now_ms())
        await self._publisher.publish(tickets, records, on_done)
        self._health.beat()
        # Readers get their turn before the next batch.
        await asyncio.sleep(0)

    async def _wait(self) -> None:
        deadline = self._queue.next_deadline()
        left = _BEAT_SEC if deadline is None else (deadline - self._clock.now_ms()) / 1000
        try:
            async with asyncio.timeout(min(max(left, 0.0), _BEAT_SEC)):
                await self._work_available.wait()
        except TimeoutError:
            pass
        self._work_available.clear()


class SlatePusher:
    """Pushes a slate when a user's history grew, where the scenario of its newest interaction asks for that."""

    def __init__(self, recommender: Recommender, queue: RequestQueue, limit: int) -> None:
        self._recommender = recommender
        self._queue = queue
        self._limit = limit

    def user_changed(self, user_id: str, former: User, user: User) -> None:
        """An impression alone changes no history, so showing a pushed slate does not push the next one."""
        state = self._recommender.state
        newest = None if user.packed == former.packed else state.users.newest(user)
        if newest is None:
            return
        scenario, at = newest
        found = state.scenarios.get(scenario)
        if found and found.push:
            self._queue.push(QueuedRequest(self._request(user_id, user, scenario, at)))

    def _request(self, user_id: str, user: User, scenario: str, at: int) -> Request:
        # The offset of the event makes the id: a push that is repeated after a crash has the same one.
        return Request(
            request_id=f"push-{user.partition}-{user.applied_offset}",
            user_id=user_id,
            scenario=scenario,
            limit=self._limit,
            requested_at=at,
            trigger=PUSHED,
        )
