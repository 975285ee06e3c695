"""The one place that touches aiokafka (it has no type stubs): producers, readers, group consumers, topic creation.

`Bus` knows the brokers and the prefix, so that services speak of topics by their names in topics.yaml alone.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    KafkaConnectionError,
    KafkaError,
    NoError,
    TopicAlreadyExistsError,
    for_code,
)
from aiokafka.helpers import create_ssl_context
from aiokafka.partitioner import murmur2

from eddy.contract.limits import MAX_REQUEST_BYTES
from eddy.contract.message import Message
from eddy.contract.topics import topics
from eddy.errors import ConfigError, FatalError
from eddy.kafka.framing import Framing, framed
from eddy.settings import Settings

PARTITION_FETCH_BYTES = 4 * 1024 * 1024
COORDINATOR_TRIES = 50


@dataclass(frozen=True, slots=True)
class Login:
    """How the brokers are spoken to: TLS where there is a context, SASL where there is a mechanism."""

    protocol: str
    tls: ssl.SSLContext | None
    mechanism: str | None
    username: str
    password: str

    @staticmethod
    def of(settings: Settings) -> "Login":
        """Raises ConfigError for files that cannot be read, and for a login without a name."""
        protocol = settings.kafka_security
        tls = _tls(settings) if protocol.endswith("SSL") else None
        mechanism = settings.kafka_sasl_mechanism if protocol.startswith("SASL") else None
        if mechanism and not settings.kafka_username:
            raise ConfigError(f"EDDY_KAFKA_SECURITY is {protocol}: set EDDY_KAFKA_USERNAME and EDDY_KAFKA_PASSWORD too")
        return Login(protocol, tls, mechanism, settings.kafka_username, settings.kafka_password.get_secret_value())

    def options(self) -> dict[str, Any]:
        """As aiokafka's clients take it."""
        found: dict[str, Any] = {"security_protocol": self.protocol, "ssl_context": self.tls}
        if self.mechanism:
            found |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return found


def _tls(settings: Settings) -> ssl.SSLContext:
    ca, certificate, key = settings.kafka_ca, settings.kafka_certificate, settings.kafka_key
    try:
        made: ssl.SSLContext = create_ssl_context(
            cafile=ca and str(ca), certfile=certificate and str(certificate), keyfile=key and str(key)
        )
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(path) for path in (ca, certificate, key) if path)
        raise ConfigError(f"cannot use {files} for TLS: {error}; see EDDY_KAFKA_CA, _CERTIFICATE and _KEY") from error
    return made


class Bus:
    """Kafka as a service sees it: brokers, prefix and partition count from settings."""

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigError for a certificate or key that cannot be read."""
        self._servers = settings.kafka_bootstrap_servers
        self.login = Login.of(settings)
        self.framing = Framing(settings.schema_registry_url)
        self._client = {"bootstrap_servers": self._servers, **self.login.options()}
        self._compression = None if settings.kafka_compression == "none" else settings.kafka_compression
        self._prefix = settings.topic_prefix
        self._replication = settings.topic_replication
        self.partitions = settings.topic_partitions or next(iter(topics().values())).partitions

    @property
    def servers(self) -> str:
        return self._servers

    def full_name(self, name: str) -> str:
        """A topic, group or transactional id as Kafka knows it."""
        return self._prefix + name

    def short_name(self, full: str) -> str:
        """The name without prefix."""
        return full.removeprefix(self._prefix)

    def partition_of(self, key: str) -> int:
        """Partition that a record with this key goes to, in every keyed topic (murmur2, as Kafka's own clients)."""
        return int((murmur2(key.encode()) & 0x7FFFFFFF) % self.partitions)

    def topic_partitions(self, topic: str, partitions: Iterable[int] | None = None) -> list[TopicPartition]:
        """aiokafka's partitions of `topic`: all of them, or those named."""
        numbers = range(self.partitions) if partitions is None else partitions
        return [TopicPartition(self.full_name(topic), number) for number in numbers]

    @asynccontextmanager
    async def producer(self, **options: Any) -> AsyncIterator["Producer"]:
        """A started producer (acks=all, idempotent), flushed and stopped at the end."""
        raw = AIOKafkaProducer(
            **self._client,
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
        await self._start(raw)
        try:
            yield Producer(raw, self)
        finally:
            await raw.stop()

    @asynccontextmanager
    async def reader(self, topic_partitions: Sequence[TopicPartition], **options: Any) -> AsyncIterator["Reader"]:
        """A started consumer without a group, on exactly these partitions, at their beginning."""
        raw = AIOKafkaConsumer(**self._client, group_id=None, **_reading(options))
        await self._start(raw)
        # aiokafka's tasks must have had a turn: stopped before that, they end its `stop` with CancelledError.
        await asyncio.sleep(0)
        try:
            raw.assign(list(topic_partitions))
            if topic_partitions:
                await raw.seek_to_beginning(*topic_partitions)
            yield Reader(raw, self)
        finally:
            await raw.stop()

    @asynccontextmanager
    async def member(self, topic: str, group: str, listener: Any = None, **options: Any) -> AsyncIterator["Reader"]:
        """A started member of a consumer group on `topic`. It never commits by itself."""
        raw = AIOKafkaConsumer(**self._client, group_id=self.full_name(group), **_reading(options))
        await self._start(raw)
        try:
            raw.subscribe([self.full_name(topic)], listener=listener)
            yield Reader(raw, self)
        finally:
            await raw.stop()

    async def create_topics(self) -> None:
        """Create what topics.yaml names and is not there. Raises FatalError where a topic has other partitions than it should."""
        admin = AIOKafkaAdminClient(**self._client)
        await self._start(admin, "start", "close")
        try:
            existing = set(await admin.list_topics())
            missing = [topic for topic in topics().values() if self.full_name(topic.name) not in existing]
            for topic in missing:
                new = NewTopic(
                    self.full_name(topic.name), self.partitions, self._replication, topic_configs=topic.config()
                )
                self._check_created(topic.name, await admin.create_topics([new]))
            await self._check_partitions(admin)
        finally:
            await admin.close()

    async def delete_topics(self) -> None:
        """Delete every topic below the prefix, whoever made it. Raises FatalError without a prefix: that would be everybody's."""
        if not self._prefix:
            raise FatalError("only topics below a prefix can be deleted: set EDDY_TOPIC_PREFIX")
        admin = AIOKafkaAdminClient(**self._client)
        await self._start(admin, "start", "close")
        try:
            for _ in range(COORDINATOR_TRIES):  # the broker that we ask is told a little later
                ours = [name for name in await admin.list_topics() if name.startswith(self._prefix)]
                if not ours:
                    return
                await admin.delete_topics(ours)
                await asyncio.sleep(0.1)
        finally:
            await admin.close()

    async def committed(self, group: str, topic: str) -> Mapping[TopicPartition, int]:
        """What a consumer group has committed of a topic: the next offset of each partition that it has committed at all."""
        return {partition: offset for partition, (offset, _) in (await self.commits(group, topic)).items()}

    async def commits(self, group: str, topic: str) -> Mapping[TopicPartition, tuple[int, str]]:
        """As `committed`, each offset with the metadata that was committed beside it.

        Raises GroupCoordinatorNotAvailableError when no coordinator answers. One that is only just loading the group answers nothing
        about partitions that it is asked about by name, and is asked again: that is not to be taken for nothing committed.
        """
        partitions = self.topic_partitions(topic)
        admin = AIOKafkaAdminClient(**self._client)
        await self._start(admin, "start", "close")
        try:
            for _ in range(COORDINATOR_TRIES):
                with suppress(GroupCoordinatorNotAvailableError):
                    found = await admin.list_consumer_group_offsets(self.full_name(group), partitions=partitions)
                    if found.keys() >= set(partitions):
                        return {
                            one: (known.offset, known.metadata) for one, known in found.items() if known.offset >= 0
                        }
                await asyncio.sleep(0.2)
        finally:
            await admin.close()
        raise GroupCoordinatorNotAvailableError(f"nobody tells what group {group} has committed")

    def _check_created(self, topic: str, response: Any) -> None:
        """The client answers with codes and raises nothing."""
        for name, code, *said in response.topic_errors:
            error = for_code(code)
            if error not in (NoError, TopicAlreadyExistsError):
                raise FatalError(
                    f"cannot create topic {name} with {self.partitions} partitions and EDDY_TOPIC_REPLICATION={self._replication}: "
                    f"{(said and said[0]) or error.__name__}"
                )

    async def _check_partitions(self, admin: AIOKafkaAdminClient) -> None:
        described = await self._described(admin)
        for topic in described:
            if len(topic["partitions"]) != self.partitions:
                raise FatalError(
                    f"topic {topic['topic']} has {len(topic['partitions'])} partitions, Eddy needs {self.partitions}: "
                    "set EDDY_TOPIC_PARTITIONS, or EDDY_TOPIC_PREFIX to start afresh"
                )

    async def _described(self, admin: AIOKafkaAdminClient) -> list[dict[str, Any]]:
        """All topics, once the broker that we ask knows of them: what was just created it may not."""
        for _ in range(COORDINATOR_TRIES):
            described: list[dict[str, Any]] = await admin.describe_topics([self.full_name(name) for name in topics()])
            unknown = [topic["topic"] for topic in described if topic["error_code"]]
            if not unknown:
                return described
            await asyncio.sleep(0.2)
        raise FatalError(f"{self._servers} does not tell of the topics {', '.join(unknown)}: may we read them?")

    async def _start(self, client: Any, start: str = "start", stop: str = "stop") -> None:
        try:
            await getattr(client, start)()
        except (KafkaConnectionError, OSError) as error:
            await getattr(client, stop)()
            secured = (
                ""
                if self.login.protocol == "PLAINTEXT"
                else f", or nobody lets us in: {error} (EDDY_KAFKA_SECURITY and beside it)"
            )
            raise FatalError(
                f"no Kafka at {self._servers}: start one (`make broker`) or set EDDY_KAFKA_BOOTSTRAP_SERVERS{secured}"
            ) from error
        except BaseException:
            await getattr(client, stop)()
            raise


class Producer:
    """Writes records, by short topic name, to the partition that the key's murmur2 hash says."""

    def __init__(self, raw: AIOKafkaProducer, bus: Bus) -> None:
        self.raw = raw
        self._bus = bus

    async def send(
        self, topic: str, key: str | bytes | None, value: bytes | None, partition: int | None = None
    ) -> "asyncio.Future[Any]":
        """Queue a record; the future ends with its metadata (partition, offset) once all in-sync replicas have it."""
        encoded = key.encode() if isinstance(key, str) else key
        full = self._bus.full_name(topic)
        written = await self._bus.framing.written(topic, full, value)
        future: asyncio.Future[Any] = await self.raw.send(full, value=written, key=encoded, partition=partition)
        return future

    async def send_all(self, topic: str, records: Iterable[tuple[str, bytes]]) -> None:
        """Write records and wait until every one of them is acknowledged; raises the first failure."""
        await settle([await self.send(topic, key, value) for key, value in records])

    async def flush(self) -> None:
        await self.raw.flush()


class Reader:
    """Reads batches of messages, by short topic name."""

    def __init__(self, raw: AIOKafkaConsumer, bus: Bus) -> None:
        self.raw = raw
        self._bus = bus

    async def batch(self, timeout_ms: int = 200, max_records: int = 1000, *partitions: TopicPartition) -> list[Message]:
        """Up to `max_records` messages that are there, waiting at most `timeout_ms` for the first; in order within a partition."""
        found = await self.raw.getmany(*partitions, timeout_ms=timeout_ms, max_records=max_records)
        return [await self._message(record) for records in found.values() for record in records]

    async def end_offsets(
        self, topic_partitions: Sequence[TopicPartition] | None = None
    ) -> Mapping[TopicPartition, int]:
        """The offset after the last record of each partition (last stable one when reading committed)."""
        offsets: Mapping[TopicPartition, int] = await self.raw.end_offsets(
            list(topic_partitions or self.raw.assignment())
        )
        return offsets

    async def at_end(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Whether every position has reached `ends`."""
        return all([await self.raw.position(partition) >= end for partition, end in ends.items()])

    async def _message(self, record: Any) -> Message:
        topic, value = self._bus.short_name(record.topic), record.value or b""
        if framed(value):
            value = await self._bus.framing.read(topic, value)
        return Message(topic, record.partition, record.offset, record.key, value, record.timestamp)


async def settle(futures: Iterable[Awaitable[Any]]) -> list[Any]:
    """Await all, then raise the first failure, if any: none is left unobserved."""
    results = await asyncio.gather(*futures, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return list(results)


def _reading(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "auto_offset_reset": "earliest",
        "enable_auto_commit": False,
        "isolation_level": "read_committed",
        "fetch_max_wait_ms": 50,
        "max_partition_fetch_bytes": PARTITION_FETCH_BYTES,
        **options,
    }


__all__ = [
    "Bus",
    "ConsumerRebalanceListener",
    "KafkaError",
    "Producer",
    "Reader",
    "TopicPartition",
    "settle",
]
