"""Measures the loop once a second for the console's charts: read from Kafka, and only while a console is open."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from math import isfinite

import structlog

from eddy.contract.codec import Codec
from eddy.contract.message import Message, TopicPartition
from eddy.contract.topics import MODEL_RELEASES, RECOMMENDATIONS, USER_EVENTS
from eddy.errors import DecodeError
from eddy.kafka.bus import Bus, KafkaError, Reader

MAX_POINTS = 300  # one a second
HIT_RATE = "hr_at_10"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LoopPoint:
    """One second of the loop.

    `action_to_release_sec` is the time from the newest action that the release was trained on to the publication of the release; None if
    unknown. `hit_rate` is the trainer's progressive HR@10 by scenario.
    """

    time: float  # seconds since the epoch
    events_per_sec: float
    slates_per_sec: float
    version: int
    releases: int  # in this second
    action_to_release_sec: float | None
    hit_rate: dict[str, float]


class LoopMonitor:
    """The last MAX_POINTS points, and a subscription to new ones."""

    def __init__(self, bus: Bus) -> None:
        self._partitions = {topic: bus.topic_partitions(topic) for topic in (USER_EVENTS, RECOMMENDATIONS)}
        self._codec = Codec.for_topic(MODEL_RELEASES)
        self._points: deque[LoopPoint] = deque(maxlen=MAX_POINTS)
        self._point_added = asyncio.Condition()
        self._watchers = 0
        self._measured_at = 0.0  # monotonic time
        self._version = self._releases = 0
        self._action_to_release_sec: float | None = None
        self._hit_rate: dict[str, float] = {}

    async def run(self, reader: Reader) -> None:
        """Follow the releases that `reader` reads, until cancelled. While Kafka is unreachable, points are missing."""
        former: dict[str, int] | None = None
        while True:
            started = time.monotonic()
            try:
                for message in await reader.batch(timeout_ms=500):
                    self.apply(message)
                totals = await self._totals(reader) if self._watchers else None
            except KafkaError as error:
                log.warning("loop_monitor_failed", error=repr(error))
                totals = None
            if totals and former:
                await self._add_point(totals, former, time.monotonic() - self._measured_at)
            if totals is None or former is None:
                self._releases = 0
            former, self._measured_at = totals, time.monotonic()
            await asyncio.sleep(max(0.0, 1 - (time.monotonic() - started)))

    def apply(self, message: Message) -> None:
        """Apply a release."""
        try:
            release = self._codec.decode(message.value)
        except DecodeError as error:
            log.warning("release_skipped", offset=message.offset, detail=error.detail)
            return
        self._releases += release["version"] > self._version
        self._version = release["version"]
        metrics = release["metrics"]
        acted_at = metrics.get("acted_at", 0.0)
        self._action_to_release_sec = (release["released_at"] - acted_at) / 1000 if acted_at else None
        self._hit_rate = {
            name.partition("/")[0]: value
            for name, value in metrics.items()
            if name.endswith(f"/{HIT_RATE}") and isfinite(value)
        }

    async def watch(self) -> AsyncIterator[list[dict[str, object]]]:
        """The points so far, then each new one."""
        self._watchers += 1
        try:
            yield [asdict(point) for point in self._points]
            while True:
                async with self._point_added:
                    await self._point_added.wait()
                yield [asdict(self._points[-1])]
        finally:
            self._watchers -= 1

    async def _totals(self, reader: Reader) -> dict[str, int]:
        """Sum of the end offsets of each topic."""
        every: list[TopicPartition] = [
            partition for partitions in self._partitions.values() for partition in partitions
        ]
        ends = await reader.end_offsets(every)
        return {
            topic: sum(ends[partition] for partition in partitions) for topic, partitions in self._partitions.items()
        }

    async def _add_point(self, totals: dict[str, int], former: dict[str, int], elapsed_sec: float) -> None:
        rates = {topic: max(0.0, (totals[topic] - former[topic]) / elapsed_sec) for topic in totals}
        point = LoopPoint(
            time.time(),
            round(rates[USER_EVENTS], 1),
            round(rates[RECOMMENDATIONS], 1),
            self._version,
            self._releases,
            self._action_to_release_sec,
            self._hit_rate,
        )
        self._releases = 0
        self._points.append(point)
        async with self._point_added:
            self._point_added.notify_all()
