"""Publishes slates to recommendations, without waiting for one batch before the next is scored."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from eddy.clock import Clock
from eddy.contract.codec import Codec
from eddy.contract.records import Recommendations
from eddy.contract.topics import RECOMMENDATIONS
from eddy.kafka.bus import Producer, settle
from eddy.metrics import EMPTY_SLATES, HOP_SECONDS, SLATE_ITEMS, SLATES, STAGE_SECONDS
from eddy_scorer.core.broker_clock import BrokerClock
from eddy_scorer.shell.freshness import Freshness
from eddy_scorer.shell.request_queue import QueuedRequest
from eddy_scorer.shell.service import SERVICE

_REQUEST_TO_SLATE = HOP_SECONDS.labels("request_to_slate")


class SlatePublisher:
    """Publishes records and calls `on_done(requests)` once all in-sync replicas have them. A failed write ends the process."""

    def __init__(
        self,
        producer: Producer,
        clock: Clock,
        broker_clock: BrokerClock,
        tasks: asyncio.TaskGroup,
        freshness: Freshness,
    ) -> None:
        self._freshness = freshness
        self._producer = producer
        self._clock = clock
        self._broker_clock = broker_clock
        self._tasks = tasks
        self._codec = Codec.for_topic(RECOMMENDATIONS)
        self._unacknowledged: set[asyncio.Task[None]] = set()

    async def publish(
        self,
        requests: Sequence[QueuedRequest],
        records: Sequence[Recommendations],
        on_done: Callable[[Iterable[QueuedRequest]], None],
    ) -> None:
        """Send the records. Waits for room in the producer, not for acknowledgements."""
        sent_at = self._clock.now_ms()
        with STAGE_SECONDS.labels(SERVICE, "publish").time():
            sent = [
                await self._producer.send(RECOMMENDATIONS, record["user_id"], self._codec.encode(record))
                for record in records
            ]
        task = self._tasks.create_task(self._complete(sent, sent_at, requests, records[-1]["model_version"], on_done))
        self._unacknowledged.add(task)
        task.add_done_callback(self._unacknowledged.discard)
        _count(records)

    async def refuse(self, refusal: Recommendations) -> "asyncio.Future[Any]":
        """Send a refusal (eddy.contract.refusals). The future completes when all in-sync replicas have it."""
        return await self._producer.send(RECOMMENDATIONS, refusal["user_id"], self._codec.encode(refusal))

    async def finish(self) -> None:
        """Wait until all sent records are acknowledged."""
        if self._unacknowledged:
            await asyncio.wait(self._unacknowledged)

    async def _complete(
        self,
        sent: "Sequence[asyncio.Future[Any]]",
        sent_at: int,
        requests: Sequence[QueuedRequest],
        version: int,
        on_done: Callable[[Iterable[QueuedRequest]], None],
    ) -> None:
        written = await settle(sent)
        self._broker_clock.compare(sent_at, written[-1].timestamp)
        on_done(requests)
        now = self._clock.now_ms()
        self._freshness.slate_published(version, now)
        for request in requests:
            if request.arrived_at:
                _REQUEST_TO_SLATE.observe((now - request.arrived_at) / 1000)


def _count(records: Sequence[Recommendations]) -> None:
    slates = Counter((record["scenario"], record["trigger"]) for record in records)
    items = Counter((record["scenario"], item["source"]) for record in records for item in record["items"])
    empty = Counter(record["scenario"] for record in records if not record["items"])
    for labels, count in slates.items():
        SLATES.labels(*labels).inc(count)
    for labels, count in items.items():
        SLATE_ITEMS.labels(*labels).inc(count)
    for scenario, count in empty.items():
        EMPTY_SLATES.labels(scenario).inc(count)
