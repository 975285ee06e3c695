"""Features workers as separate processes, and the records that they publish."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eddy.contract.codec import Codec
from eddy.contract.message import Message, TopicPartition
from eddy.contract.topics import DEAD_LETTERS, ITEM_FEATURES, ITEM_SIGNALS, USER_EVENTS, USER_FEATURES
from eddy.kafka.bus import Bus
from eddy.settings import load
from eddy_features.settings import FeaturesSettings
from tests.features.factories import Record
from tests.poll import QUERY_INTERVAL_SEC, poll_until
from tests.service import Service, logs_in, own_settings, read_all, running

JUNK_KEY = b"junk"


class FeaturesCluster:
    """Topics and workers of a test: brokers, prefix, partitions, settings of every service, and a folder for each process."""

    def __init__(self, kafka: str, topic_prefix: str, folder: Path, partitions: int, **settings: str) -> None:
        self._folder = folder
        self._environment = {
            "EDDY_KAFKA_BOOTSTRAP_SERVERS": kafka,
            "EDDY_TOPIC_PREFIX": topic_prefix,
            "EDDY_TOPIC_PARTITIONS": str(partitions),
            **{f"EDDY_{name.upper()}": value for name, value in settings.items()},
        }
        self.bus = Bus(load(FeaturesSettings, self._environment))
        self.started = 0

    @contextmanager
    def worker(self, **settings: str) -> Iterator[Service]:
        """Start a worker with an empty state folder; it is killed at the end if it still runs."""
        self.started += 1
        name = f"worker-{self.started}"
        environment = {**self._environment, "EDDY_STATE_DIR": str(self._folder / name)}
        with running(
            "features", environment | own_settings("features", settings), self._folder / f"{name}.log"
        ) as worker:
            yield worker

    def logs(self) -> str:
        return logs_in(self._folder)

    async def publish(self, records: Sequence[Record], topic: str = USER_EVENTS) -> None:
        async with self.bus.producer() as producer:
            await producer.send_all(topic, records)  # type: ignore[arg-type]  # keys may be missing, since publishers may omit them

    async def ends(self, topic: str) -> dict[TopicPartition, int]:
        partitions = self.bus.topic_partitions(topic)
        async with self.bus.reader(partitions) as reader:
            return dict(await reader.end_offsets(partitions))

    async def all_messages(self, topic: str) -> list[Message]:
        return await read_all(self.bus, topic)

    async def drained(self, timeout_sec: float = 30) -> None:
        """Wait until all events and their signals are processed and committed."""
        await poll_until(self._is_drained, timeout_sec, QUERY_INTERVAL_SEC, "all events processed")

    async def _is_drained(self) -> bool:
        for topic in (USER_EVENTS, ITEM_SIGNALS):
            committed = await self.bus.committed("features", topic)
            ends = await self.ends(topic)
            if any(end > committed.get(partition, 0) for partition, end in ends.items()):
                return False
        return True

    async def event_logs(self) -> dict[int, list[Message]]:
        """Return the events by partition."""
        logs: dict[int, list[Message]] = {}
        for message in await self.all_messages(USER_EVENTS):
            logs.setdefault(message.partition, []).append(message)
        return logs

    async def user_features(self) -> dict[str, dict[str, Any]]:
        """Without their `log_id`, which differs from run to run."""
        records = await self._compacted(USER_FEATURES)
        assert {len(record["log_id"]) for record in records.values()} <= {16}
        return {user: {**record, "log_id": b""} for user, record in records.items()}

    async def item_features(self) -> dict[str, dict[str, Any]]:
        return await self._compacted(ITEM_FEATURES)

    async def _compacted(self, topic: str) -> dict[str, dict[str, Any]]:
        codec = Codec.for_topic(topic)
        newest = {
            (message.key or b"").decode(): message.value
            for message in await self.all_messages(topic)
            if message.key not in (None, JUNK_KEY)
        }
        return {key: codec.decode(value) for key, value in newest.items() if value}

    async def dead_letters(self, topic: str = USER_EVENTS) -> set[tuple[int, int, str]]:
        """Return partition, offset and reason of each dead letter from `topic`, without duplicates."""
        letters = [Codec.of("dead_letter").decode(message.value) for message in await self.all_messages(DEAD_LETTERS)]
        return {
            (letter["source_partition"], letter["source_offset"], letter["reason"])
            for letter in letters
            if letter["source_topic"] == self.bus.full_name(topic) and letter["service"] == "features"
        }
