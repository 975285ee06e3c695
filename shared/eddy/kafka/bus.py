"""Kafka as a service sees it: producers, readers, group members and topics, by their names in topics.yaml alone.

`eddy.kafka` is the one place that touches aiokafka, which has no type stubs; no class of aiokafka leaves it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from eddy.contract.limits import MAX_REQUEST_BYTES
from eddy.contract.message import TopicPartition
from eddy.contract.topics import topics
from eddy.kafka.admin import Admin
from eddy.kafka.connection import Connection
from eddy.kafka.framing import Framing
from eddy.kafka.login import Login
from eddy.kafka.member import Listener, Member
from eddy.kafka.partitions import partition_of, raw
from eddy.kafka.producer import Producer, SentBatch, TransactionalProducer, settle
from eddy.kafka.reader import OPTIONS, Reader
from eddy.settings import Settings


class Bus:
    """The brokers, the prefix and the partition count of the settings."""

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigError for a certificate or key that cannot be read."""
        self._connection = Connection(settings)
        self._prefix = settings.topic_prefix
        self._compression = None if settings.kafka_compression == "none" else settings.kafka_compression
        self.framing = Framing(settings.schema_registry_url)
        self.partitions = settings.topic_partitions or next(iter(topics().values())).partitions
        self._admin = Admin(self._connection, self._prefix, self.partitions, settings.topic_replication)

    @property
    def servers(self) -> str:
        """The brokers, host:port, comma separated."""
        return self._connection.servers

    @property
    def user(self) -> str:
        """The Kafka user, in words."""
        return self._connection.user

    @property
    def login(self) -> Login:
        """How clients log in."""
        return self._connection.login

    def full_name(self, name: str) -> str:
        """A topic, group or transactional id as Kafka knows it."""
        return self._prefix + name

    def short_name(self, full: str) -> str:
        """The name without prefix."""
        return full.removeprefix(self._prefix)

    def partition_of(self, key: str) -> int:
        """Partition that a record with this key goes to, in every keyed topic."""
        return partition_of(key.encode(), self.partitions)

    def topic_partitions(self, topic: str, partitions: Iterable[int] | None = None) -> list[TopicPartition]:
        """The partitions of `topic`: all of them, or those with these numbers."""
        numbers = range(self.partitions) if partitions is None else partitions
        return [TopicPartition(self.full_name(topic), number) for number in numbers]

    @asynccontextmanager
    async def producer(self, **options: Any) -> AsyncIterator[Producer]:
        """A started producer (acks=all, idempotent), flushed and stopped at the end."""
        async with self._producing(options) as client:
            yield Producer(client, self.framing, self._prefix)

    @asynccontextmanager
    async def transactional_producer(
        self, transactional_id: str, **options: Any
    ) -> AsyncIterator[TransactionalProducer]:
        """As `producer`. Its start fences the former one with its id (short name) and ends that one's transaction."""
        async with self._producing({"transactional_id": self.full_name(transactional_id), **options}) as client:
            yield TransactionalProducer(client, self.framing, self._prefix)

    @asynccontextmanager
    async def reader(self, partitions: Sequence[TopicPartition], **options: Any) -> AsyncIterator[Reader]:
        """A started consumer without a group, on exactly these partitions, at their beginning."""
        client = AIOKafkaConsumer(**self._connection.options, group_id=None, **{**OPTIONS, **options})
        await self._connection.start(client)
        # aiokafka's tasks must have had a turn: stopped before that, they end its `stop` with CancelledError.
        await asyncio.sleep(0)
        try:
            client.assign(list(map(raw, partitions)))
            if partitions:
                await client.seek_to_beginning(*map(raw, partitions))
            yield Reader(client, self.framing, self._prefix)
        finally:
            await client.stop()

    @asynccontextmanager
    async def member(
        self, topic: str, group: str, listener: Listener | None = None, **options: Any
    ) -> AsyncIterator[Member]:
        """A started member of a consumer group on `topic`. It never commits by itself."""
        client = AIOKafkaConsumer(**self._connection.options, group_id=self.full_name(group), **{**OPTIONS, **options})
        await self._connection.start(client)
        try:
            member = Member(client, self.framing, self._prefix)
            member.subscribe(self.full_name(topic), listener)
            yield member
        finally:
            await client.stop()

    async def existing_topics(self) -> set[str]:
        """The topics below our prefix, as Kafka names them, ours or not."""
        return await self._admin.existing_topics()

    async def create_topics(self, service: str = "") -> None:
        """Create the topics of topics.yaml that do not exist, and check partitions and the permissions of `service`, if given.

        Raises FatalError for a topic with other partitions than expected, and for a missing permission.
        """
        await self._admin.create_topics(service)

    async def delete_topics(self) -> None:
        """Delete every topic below the prefix, whoever made it. Raises FatalError without a prefix: that would be everybody's."""
        await self._admin.delete_topics()

    async def committed(self, group: str, topic: str) -> Mapping[TopicPartition, int]:
        """What a group has committed of a topic: the next offset of each partition that it has committed at all."""
        return {partition: offset for partition, (offset, _) in (await self.commits(group, topic)).items()}

    async def commits(self, group: str, topic: str) -> Mapping[TopicPartition, tuple[int, str]]:
        """As `committed`, each offset with the metadata that was committed with it. Raises KafkaError when no coordinator answers."""
        return await self._admin.commits(self.full_name(group), self.topic_partitions(topic))

    @asynccontextmanager
    async def _producing(self, options: Mapping[str, Any]) -> AsyncIterator[AIOKafkaProducer]:
        client = AIOKafkaProducer(
            **self._connection.options,
            **{
                "acks": "all",
                "enable_idempotence": True,
                "compression_type": self._compression,
                "linger_ms": 0,
                "max_request_size": MAX_REQUEST_BYTES,
                "max_batch_size": 256 * 1024,
                **options,
            },
        )
        await self._connection.start(client)
        try:
            yield client
        finally:
            await client.stop()


__all__ = [
    "Bus",
    "KafkaError",
    "Listener",
    "Member",
    "Producer",
    "Reader",
    "SentBatch",
    "TransactionalProducer",
    "settle",
]
