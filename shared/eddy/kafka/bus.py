"""The services' interface to Kafka: producers, readers, group members and topics, by their names in topics.yaml.

Only `eddy.kafka` uses aiokafka, which has no type stubs; it exposes no class of aiokafka.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from eddy.contract.limits import MAX_REQUEST_BYTES
from eddy.contract.message import TopicPartition
from eddy.contract.topics import topics
from eddy.errors import FatalError
from eddy.kafka.admin import Admin, TopicError
from eddy.kafka.connection import Connection
from eddy.kafka.framing import Framing
from eddy.kafka.login import Login
from eddy.kafka.member import Listener, Member
from eddy.kafka.partitions import partition_of, raw
from eddy.kafka.producer import Producer, SentBatch, TransactionalProducer, settle
from eddy.kafka.reader import OPTIONS, Reader
from eddy.settings import Settings

log = structlog.get_logger()

WATCH_SEC = 10.0


class Bus:
    """Connects to the brokers of the settings, with their topic prefix and partition count."""

    def __init__(self, settings: Settings) -> None:
        """Raise ConfigError for an unreadable certificate or key."""
        self._connection = Connection(settings)
        self._prefix = settings.topic_prefix
        self._compression = None if settings.kafka_compression == "none" else settings.kafka_compression
        self.framing = Framing(settings.schema_registry_url)
        self.partitions = settings.topic_partitions or next(iter(topics().values())).partitions
        self._topic_ids: dict[str, bytes] = {}
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
        """The login of clients."""
        return self._connection.login

    def full_name(self, name: str) -> str:
        """The name of a topic, group or transactional id in Kafka, with prefix."""
        return self._prefix + name

    def short_name(self, full: str) -> str:
        """The name without prefix."""
        return full.removeprefix(self._prefix)

    def partition_of(self, key: str) -> int:
        """Partition of records with this key, the same in every keyed topic."""
        return partition_of(key.encode(), self.partitions)

    def partition_of_key(self, key: bytes) -> int:
        """As `partition_of`, for a message key."""
        return partition_of(key, self.partitions)

    def topic_partitions(self, topic: str, partitions: Iterable[int] | None = None) -> list[TopicPartition]:
        """The partitions of `topic`: all of them, or those with these numbers."""
        numbers = range(self.partitions) if partitions is None else partitions
        return [TopicPartition(self.full_name(topic), number) for number in numbers]

    @asynccontextmanager
    async def producer(self, **options: Any) -> AsyncIterator[Producer]:
        """A started producer (acks=all, idempotent), flushed and stopped at the end."""
        async with self._producer_client(options) as client:
            yield Producer(client, self.framing, self._prefix, self.partitions)

    @asynccontextmanager
    async def transactional_producer(
        self, transactional_id: str, **options: Any
    ) -> AsyncIterator[TransactionalProducer]:
        """As `producer`. Its start fences the former producer with its id (short name) and aborts that one's transaction."""
        async with self._producer_client({"transactional_id": self.full_name(transactional_id), **options}) as client:
            yield TransactionalProducer(client, self.framing, self._prefix, self.partitions)

    @asynccontextmanager
    async def reader(self, partitions: Sequence[TopicPartition], **options: Any) -> AsyncIterator[Reader]:
        """A started consumer of exactly these partitions, from their beginning, without a group."""
        client = AIOKafkaConsumer(**self._connection.options, group_id=None, **{**OPTIONS, **options})
        await self._connection.start(client)
        # Let aiokafka's tasks start: `stop` would raise CancelledError for tasks that did not run yet.
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
        self, topics: str | Sequence[str], group: str, listener: Listener | None = None, **options: Any
    ) -> AsyncIterator[Member]:
        """A started member of a consumer group on one topic or several, without automatic commits."""
        client = AIOKafkaConsumer(**self._connection.options, group_id=self.full_name(group), **{**OPTIONS, **options})
        await self._connection.start(client)
        try:
            member = Member(client, self.framing, self._prefix)
            names = [topics] if isinstance(topics, str) else topics
            member.subscribe(list(map(self.full_name, names)), listener)
            yield member
        finally:
            await client.stop()

    async def existing_topics(self) -> set[str]:
        """Full names of the topics with the prefix, whether in topics.yaml or not."""
        return await self._admin.existing_topics()

    async def create_topics(self, service: str = "") -> None:
        """Create the topics of topics.yaml that do not exist, and check all of them and the permissions of `service`, if given.

        Raises TopicError for a topic with other partitions or settings than expected, FatalError for a missing permission.
        """
        self._topic_ids = await self._admin.create_topics(service)

    def topic_id(self, topic: str) -> bytes:
        """The id that Kafka gave to `topic` as of `create_topics`; a topic created again has another. Empty before Kafka 2.8."""
        return self._topic_ids.get(self.full_name(topic), b"")

    async def watch_topics(self) -> None:
        """Check the topics every WATCH_SEC until cancelled. Raises TopicError if two checks in a row find one gone or not as expected.

        A single check may ask a broker that has just started and does not know all topics yet. Nothing is checked while no broker answers.
        """
        failed = False
        while True:
            await asyncio.sleep(WATCH_SEC)
            try:
                await self._admin.check_topics(self._topic_ids)
                failed = False
            except TopicError as error:
                if failed:
                    raise
                failed = True
                log.warning("topic_check_failed", error=str(error))
            except (FatalError, KafkaError, OSError, TimeoutError) as error:
                log.info("topics_not_checked", error=repr(error))

    async def delete_topics(self) -> None:
        """Delete every topic with the prefix. Raises FatalError for an empty prefix."""
        await self._admin.delete_topics()

    async def committed(self, group: str, topic: str) -> Mapping[TopicPartition, int]:
        """The next offset of each partition of a topic with a commit of the group."""
        return {partition: offset for partition, (offset, _) in (await self.commits(group, topic)).items()}

    async def commits(self, group: str, topic: str) -> Mapping[TopicPartition, tuple[int, str]]:
        """As `committed`, each offset with the metadata of its commit. Raises KafkaError if no coordinator answers."""
        return await self._admin.commits(self.full_name(group), self.topic_partitions(topic))

    @asynccontextmanager
    async def _producer_client(self, options: Mapping[str, Any]) -> AsyncIterator[AIOKafkaProducer]:
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
