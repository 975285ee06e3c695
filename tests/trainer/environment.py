"""A trainer as a separate process, and the records that it publishes."""

import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from eddy.contract.codec import Codec
from eddy.contract.message import Message
from eddy.contract.model import hash_of_contract
from eddy.contract.topics import DEAD_LETTERS, ITEM_EMBEDDINGS, ITEMS, MODEL_RELEASES, TRAINING_EXAMPLES
from eddy.kafka.bus import Bus
from eddy.settings import load
from eddy_trainer.settings import TrainerSettings
from tests.poll import QUERY_INTERVAL_SEC, poll_until
from tests.release_keys import KEYS, key_settings
from tests.service import Service, logs_in, own_settings, read_all, running
from tests.trainer.factories import Record, example_record, item_record

PARTITIONS = 2


class TrainerCluster:
    """Topics and trainers of a test: brokers, prefix, and a folder for state and logs."""

    def __init__(self, kafka: str, topic_prefix: str, folder: Path, traced: Path) -> None:
        self._folder = folder
        self.state = folder / "state"
        self._environment = {
            "EDDY_KAFKA_BOOTSTRAP_SERVERS": kafka,
            "EDDY_TOPIC_PREFIX": topic_prefix,
            "EDDY_TOPIC_PARTITIONS": str(PARTITIONS),
            "EDDY_STATE_DIR": str(self.state),
            "EDDY_TRAINER_GRAPHS_DIR": str(traced),
            **key_settings(folder),
        }
        self.bus = Bus(load(TrainerSettings, self._environment))
        self.started = 0

    @property
    def checkpoint(self) -> Path:
        return self.state / f"trainer-{self._environment['EDDY_TOPIC_PREFIX']}.ckpt"

    def empty_disk(self) -> None:
        """Delete the state folder."""
        shutil.rmtree(self.state, ignore_errors=True)

    def settings(self, **changes: str) -> TrainerSettings:
        """Return the settings of a trainer of this test."""
        return load(
            TrainerSettings, self._environment | {f"EDDY_{name.upper()}": value for name, value in changes.items()}
        )

    @contextmanager
    def trainer(self, poison_limit: int = 10_000, **settings: str) -> Iterator[Service]:
        """Start a trainer; it is killed at the end if it still runs."""
        self.started += 1
        environment = self._environment | own_settings("trainer", settings) | {"EDDY_POISON_LIMIT": str(poison_limit)}
        with running("trainer", environment, self._folder / f"trainer-{self.started}.log") as trainer:
            yield trainer

    @asynccontextmanager
    async def trainer_with_release(self, events: int) -> AsyncIterator[Service]:
        """Create the topics, and start a trainer that has released what it learned from so many events."""
        await self.bus.create_topics()
        with self.trainer() as trainer:
            await poll_until(trainer.is_ready, what="ready on empty topics")
            await self.publish_examples(events_of(events))
            await self.released_all()
            yield trainer

    def logs(self) -> str:
        return logs_in(self._folder)

    async def publish(self, topic: str, records: Sequence[tuple[str, bytes]]) -> None:
        async with self.bus.producer() as producer:
            await producer.send_all(topic, records)

    async def publish_items(self, count: int) -> None:
        codec = Codec.for_topic(ITEMS)
        await self.publish(ITEMS, [(f"m{n}", codec.encode(item_record(f"m{n}"))) for n in range(count)])

    async def delete_item(self, item_id: str) -> None:
        async with self.bus.producer() as producer:
            await (await producer.send(ITEMS, item_id, None))

    async def publish_examples(self, records: Sequence[Record]) -> None:
        codec = Codec.for_topic(TRAINING_EXAMPLES)
        await self.publish(TRAINING_EXAMPLES, [(record["user_id"], codec.encode(record)) for record in records])

    async def ends(self, topic: str) -> list[int]:
        partitions = self.bus.topic_partitions(topic)
        async with self.bus.reader(partitions) as reader:
            ends = await reader.end_offsets(partitions)
        return [ends[partition] for partition in partitions]

    async def all_messages(self, topic: str) -> list[Message]:
        return await read_all(self.bus, topic)

    async def releases(self) -> list[Record]:
        """Return all releases in the order of publication."""
        codec = Codec.for_topic(MODEL_RELEASES)
        return [codec.decode(message.value) for message in await self.all_messages(MODEL_RELEASES)]

    async def rows(self) -> list[tuple[Message, Record]]:
        codec = Codec.for_topic(ITEM_EMBEDDINGS)
        messages = await self.all_messages(ITEM_EMBEDDINGS)
        return [(message, codec.decode(message.value)) for message in messages if message.value]

    async def dead_letters(self) -> set[tuple[str, int, int, str]]:
        """Return topic, partition, offset and reason of each dead letter, without duplicates."""
        codec = Codec.for_topic(DEAD_LETTERS)
        dead_letters = [codec.decode(message.value) for message in await self.all_messages(DEAD_LETTERS)]
        return {
            (self.bus.short_name(each["source_topic"]), each["source_partition"], each["source_offset"], each["reason"])
            for each in dead_letters
        }

    async def released_all(self, timeout_sec: float = 30) -> None:
        """Wait until the newest release was trained on all examples."""
        await poll_until(
            self._newest_release_covers_all, timeout_sec, QUERY_INTERVAL_SEC, "a release trained on all examples"
        )

    async def _newest_release_covers_all(self) -> bool:
        releases = await self.releases()
        return bool(releases) and releases[-1]["trained_through"] == await self.ends(TRAINING_EXAMPLES)


async def assert_releases_are_consistent(cluster: TrainerCluster) -> None:
    """Assert that versions ascend by one, `trained_through` never decreases, offsets cover all rows of a version and exist, and signatures
    match."""
    releases, rows = await cluster.releases(), await cluster.rows()
    ends = await cluster.ends(ITEM_EMBEDDINGS)
    assert [release["version"] for release in releases] == list(range(1, len(releases) + 1)), cluster.logs()
    for before, after in pairwise(releases):
        pairs = zip(before["trained_through"], after["trained_through"], strict=True)
        assert all(former <= later for former, later in pairs), cluster.logs()
    for release in releases:
        KEYS.check(release, b"champion")
        assert release["contract"] == hash_of_contract()
        of_version = [message for message, row in rows if row["version"] == release["version"]]
        covered = [message.offset < release["embedding_offsets"][message.partition] for message in of_version]
        # Includes rows of a process that was killed before its release; the next process uses the version again.
        assert all(covered), cluster.logs()
        assert all(offset <= end for offset, end in zip(release["embedding_offsets"], ends, strict=True))


def events_of(count: int, users: int = 12, items: int = 40, first: int = 0) -> list[Record]:
    """Return a `next_item` and a `label` for each of `count` events; user and item depend on the number of the event."""
    records = []
    for number in range(first, first + count):
        event: dict[str, Any] = {"user_id": f"u{number % users}", "occurred_at": 1000 * number}
        item = {**example_record()["items"][0], "item_id": f"m{number * 7 % items}"}
        records.append(
            example_record(example_id=f"e{number}/next", items=[item], candidates=[item["item_id"], "m1"], **event)
        )
        records.append(example_record("label", items=5, example_id=f"e{number}/label", **event))
    return records
