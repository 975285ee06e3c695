"""Reads the topics with their settings, and the clock, of a broker."""

import asyncio
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic
from aiokafka.errors import (
    KafkaError,
    NoError,
    UnknownTopicOrPartitionError,
    for_code,
)

from eddy.errors import FatalError
from eddy.kafka.connection import Connection
from eddy.kafka.permissions import DESCRIBE, DESCRIBE_CONFIGS, topic_access
from eddy.kafka.topic_settings import topic_configs

PROBE_RETENTION_MS = 60_000
PROBES = 3


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as the broker has it: number of partitions, and every setting, whether its own or the broker's default.

    `denied` is the permission that this user would need to see them, empty where it has it.
    """

    partitions: int
    config: Mapping[str, str]
    denied: str = ""


@dataclass(frozen=True, slots=True)
class ClockProbe:
    """This machine's clock compared with the broker's. The broker read its clock at some time within the round trip.

    `skew_ms` is the lead of this clock over the broker's (negative: behind), 0 if the round trip explains the difference.
    """

    skew_ms: float
    round_trip_ms: float


async def topic_states(connection: Connection, names: Iterable[str]) -> dict[str, TopicState]:
    """Those of the topics `names` (as Kafka names them) that exist or are hidden from this user.

    Raises FatalError where no broker answers, or where it refuses for another reason than a missing permission.
    """
    async with connection.admin() as client:
        access = await topic_access(client, names)
        for name, topic in access.items():
            if not topic.hidden and for_code(topic.error_code) not in (NoError, UnknownTopicOrPartitionError):
                reason = for_code(topic.error_code).__name__
                raise FatalError(f"{connection.servers} does not describe topic {name}: {reason}")
        existing = sorted(name for name, topic in access.items() if not topic.error_code)
        configs = await topic_configs(client, existing, connection.servers)
    states = {name: TopicState(0, {}, DESCRIBE) for name, topic in access.items() if topic.hidden}
    for name, config in configs.items():
        states[name] = TopicState(access[name].partitions, config or {}, DESCRIBE_CONFIGS if config is None else "")
    return states


async def probe_clock(connection: Connection, prefix: str, replication: int) -> ClockProbe:
    """Compare clocks by the append time of records.

    Kafka has no request for the time. A temporary topic with `prefix`, one partition and LogAppendTime gets a few empty records and is
    deleted; the probe with the shortest round trip is returned. Raises FatalError if the login lacks the permissions.
    """
    topic = f"{prefix}eddy-doctor-{uuid.uuid4().hex[:8]}"
    config = {"message.timestamp.type": "LogAppendTime", "retention.ms": str(PROBE_RETENTION_MS)}
    async with connection.admin() as client:
        (created,) = (await client.create_topics([NewTopic(topic, 1, replication, topic_configs=config)])).topic_errors
        if for_code(created[1]) is not NoError:
            raise FatalError(
                f"cannot create a topic to compare clocks with: {created[2] or for_code(created[1]).__name__}"
            )
        try:
            probes = await _probes(connection, topic)
        finally:
            await client.delete_topics([topic])
    return min(probes, key=lambda probe: probe.round_trip_ms)


async def _probes(connection: Connection, topic: str) -> list[ClockProbe]:
    producer = AIOKafkaProducer(**connection.options, acks="all", linger_ms=0)
    await connection.start(producer)
    try:
        await producer.send_and_wait(topic, b"")  # the first one also connects and fetches metadata
        return [await _probe(producer, topic) for _ in range(PROBES)]
    except KafkaError as error:
        raise FatalError(f"cannot write to a topic to compare clocks with: {error}") from error
    finally:
        await asyncio.wait_for(producer.stop(), 10)


async def _probe(producer: AIOKafkaProducer, topic: str) -> ClockProbe:
    before = time.time() * 1000
    appended = (await producer.send_and_wait(topic, b"")).timestamp
    after = time.time() * 1000
    # The broker's stamp is in whole milliseconds, rounded down.
    skew = before - (appended + 1) if appended + 1 < before else min(after - appended, 0.0)
    return ClockProbe(skew, after - before)
