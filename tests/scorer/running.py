"""Runs scorers as processes, with their input and output."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from eddy.contract.codec import Codec, Record
from eddy.contract.topics import DEAD_LETTERS, RECOMMENDATION_REQUESTS, RECOMMENDATIONS, topics
from eddy.kafka.bus import Bus, settle
from eddy.settings import load
from eddy_scorer.settings import ScorerSettings
from tests.poll import poll_until
from tests.service import Service, logs_in, own_settings, read_all, running


@dataclass
class CollectedSlates:
    """Slates by request id, collected as they are published."""

    by_request_id: dict[str, list[Record]] = field(default_factory=dict)

    async def to(self, request_id: str, timeout_sec: float = 20.0) -> Record:
        """Wait for the first slate of a request."""
        await poll_until(lambda: request_id in self.by_request_id, timeout_sec, 0.002, what=f"a slate for {request_id}")
        return self.by_request_id[request_id][0]

    async def to_all(self, request_ids: Sequence[str], timeout_sec: float = 60.0) -> None:
        """Wait until each request has a slate."""

        def missing() -> list[str]:
            return [each for each in request_ids if each not in self.by_request_id]

        await poll_until(lambda: not missing(), timeout_sec, what="slates for all requests")


class ScorerHarness:
    """The environment of a test: broker, topic prefix, partitions, and the logs of each started process."""

    def __init__(
        self, kafka: str, topic_prefix: str, folder: Path, partitions: int = 2, scenarios: Path | None = None
    ) -> None:
        self._folder = folder
        self._environment = {
            "EDDY_KAFKA_BOOTSTRAP_SERVERS": kafka,
            "EDDY_TOPIC_PREFIX": topic_prefix,
            "EDDY_TOPIC_PARTITIONS": str(partitions),
        }
        if scenarios is not None:
            self._environment["EDDY_SCENARIOS_PATH"] = str(scenarios)
        self.bus = Bus(load(ScorerSettings, self._environment))
        self._started = 0

    @contextmanager
    def scorer(self, **settings: str) -> Iterator[Service]:
        """A scorer on an empty disk, warnings as errors; killed at the end if it still runs."""
        self._started += 1
        name = f"scorer-{self._started}"
        environment = {**self._environment, "EDDY_STATE_DIR": str(self._folder / name)}
        environment |= own_settings("scorer", settings)
        with running("scorer", environment, self._folder / f"{name}.log", warnings_are_errors=True) as scorer:
            yield scorer

    def logs(self) -> str:
        return logs_in(self._folder)

    async def publish(self, topic: str, *records: Record) -> list[int]:
        """Publish records under their keys. Returns the end offset of each partition, 0 for partitions without records."""
        codec, key = Codec.for_topic(topic), topics()[topic].key
        return await self.publish_raw(topic, *[(record[key].encode(), codec.encode(record)) for record in records])

    async def publish_raw(self, topic: str, *records: tuple[bytes | None, bytes | None]) -> list[int]:
        """Publish bytes under keys. Returns end offsets as `publish` does."""
        async with self.bus.producer() as producer:
            written = await settle([await producer.send(topic, key, value) for key, value in records])
        ends = [0] * self.bus.partitions
        for metadata in written:
            ends[metadata.partition] = max(ends[metadata.partition], metadata.offset + 1)
        return ends

    async def ask(self, *requests: Record) -> None:
        await self.publish(RECOMMENDATION_REQUESTS, *requests)

    @asynccontextmanager
    async def answers(self) -> AsyncIterator[CollectedSlates]:
        """Collect slates from the beginning of the topic until the block ends."""
        slates = CollectedSlates()
        collecting = asyncio.create_task(self._collect(slates))
        try:
            yield slates
        finally:
            collecting.cancel()
            await asyncio.gather(collecting, return_exceptions=True)

    async def dead_letters(self) -> list[Record]:
        codec = Codec.for_topic(DEAD_LETTERS)
        return [codec.decode(message.value) for message in await read_all(self.bus, DEAD_LETTERS)]

    async def _collect(self, slates: CollectedSlates) -> None:
        codec = Codec.for_topic(RECOMMENDATIONS)
        async with self.bus.reader(self.bus.topic_partitions(RECOMMENDATIONS)) as reader:
            while True:
                for message in await reader.batch():
                    record = codec.decode(message.value)
                    slates.by_request_id.setdefault(record["request_id"], []).append(record)
