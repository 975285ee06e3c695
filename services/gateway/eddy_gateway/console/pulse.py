"""How the loop goes, second by second, for the console's charts: read from Kafka, and only while somebody looks."""

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

KEPT = 300  # points, a second each
HIT_RATE = "hr_at_10"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Point:
    """A second of the loop. `fresh_sec` is from the newest action that the release learned from to its publication; None is not known.

    `hit_rate` is the trainer's progressive HR@10 by scenario.
    """

    at: float  # seconds since the epoch
    events_per_sec: float
    lists_per_sec: float
    version: int
    releases: int  # in this second
    fresh_sec: float | None
    hit_rate: dict[str, float]


class Pulse:
    """The last KEPT points, and whoever waits for the next one."""

    def __init__(self, bus: Bus) -> None:
        self._counted = {topic: bus.topic_partitions(topic) for topic in (USER_EVENTS, RECOMMENDATIONS)}
        self._codec = Codec.for_topic(MODEL_RELEASES)
        self._points: deque[Point] = deque(maxlen=KEPT)
        self._news = asyncio.Condition()
        self._watching = 0
        self._since = 0.0
        self._version = self._releases = 0
        self._fresh_sec: float | None = None
        self._hit_rate: dict[str, float] = {}

    async def run(self, reader: Reader) -> None:
        """Follow releases, until cancelled; a Kafka that is away for a while leaves a gap."""
        former: dict[str, int] | None = None
        while True:
            started = time.monotonic()
            try:
                for message in await reader.batch(timeout_ms=500):
                    self.take(message)
                totals = await self._totals(reader) if self._watching else None
            except KafkaError as error:
                log.warning("console_pulse_failed", error=repr(error))
                totals = None
            if totals and former:
                await self._add(totals, former, time.monotonic() - self._since)
            if totals is None or former is None:
                self._releases = 0
            former, self._since = totals, time.monotonic()
            await asyncio.sleep(max(0.0, 1 - (time.monotonic() - started)))

    def take(self, message: Message) -> None:
        """A release."""
        try:
            release = self._codec.decode(message.value)
        except DecodeError as error:
            log.warning("release_not_read", offset=message.offset, detail=error.detail)
            return
        self._releases += release["version"] > self._version
        self._version = release["version"]
        metrics = release["metrics"]
        acted_at = metrics.get("acted_at", 0.0)
        self._fresh_sec = (release["released_at"] - acted_at) / 1000 if acted_at else None
        self._hit_rate = {
            name.partition("/")[0]: value
            for name, value in metrics.items()
            if name.endswith(f"/{HIT_RATE}") and isfinite(value)
        }

    async def watch(self) -> AsyncIterator[list[dict[str, object]]]:
        """The points that are known, then each new one."""
        self._watching += 1
        try:
            yield [asdict(point) for point in self._points]
            while True:
                async with self._news:
                    await self._news.wait()
                yield [asdict(self._points[-1])]
        finally:
            self._watching -= 1

    async def _totals(self, reader: Reader) -> dict[str, int]:
        partitions: list[TopicPartition] = [one for some in self._counted.values() for one in some]
        ends = await reader.end_offsets(partitions)
        return {topic: sum(ends[one] for one in some) for topic, some in self._counted.items()}

    async def _add(self, totals: dict[str, int], former: dict[str, int], elapsed: float) -> None:
        rates = {topic: max(0.0, (totals[topic] - former[topic]) / elapsed) for topic in totals}
        point = Point(
            time.time(),
            round(rates[USER_EVENTS], 1),
            round(rates[RECOMMENDATIONS], 1),
            self._version,
            self._releases,
            self._fresh_sec,
            self._hit_rate,
        )
        self._releases = 0
        self._points.append(point)
        async with self._news:
            self._news.notify_all()
