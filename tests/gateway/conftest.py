"""The gateway on a real broker, called over ASGI."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from eddy.clock import Clock, ManualClock
from eddy.contract.codec import Codec, Record
from eddy.contract.message import TopicPartition
from eddy.contract.scenarios import load_scenarios
from eddy.contract.topics import ITEMS, RECOMMENDATION_REQUESTS, RECOMMENDATIONS, USER_EVENTS
from eddy.kafka.bus import Bus
from eddy.runtime import Health
from eddy_gateway.core.rules import Rules
from eddy_gateway.settings import GatewaySettings
from eddy_gateway.shell.api import Gateway, build_app
from eddy_gateway.shell.item_changes import ItemChanges
from eddy_gateway.shell.item_store import ItemStore
from eddy_gateway.shell.pending_requests import PendingRequests
from eddy_gateway.shell.publisher import EventPublisher
from eddy_gateway.shell.user_records import UserRecords
from tests.poll import poll_until

NOW_MS = 1_750_000_000_000


@dataclass
class RunningGateway:
    """A running gateway: its HTTP client and its Kafka."""

    http: httpx.AsyncClient
    bus: Bus
    health: Health
    started_at: Mapping[TopicPartition, int]

    async def read(self, topic: str) -> list[tuple[int, Record]]:
        """Offset and record of every message that came into a topic since this gateway was started."""
        partitions = self.bus.topic_partitions(topic)
        async with self.bus.reader(partitions) as reader:
            for partition in partitions:
                reader.seek(partition, self.started_at[partition])
            ends = await reader.end_offsets()
            records: list[tuple[int, Record]] = []
            while not await reader.at_end(ends):
                for message in await reader.batch():
                    assert message.key == _key(topic, message.value)
                    records.append((message.offset, Codec.for_topic(topic).decode(message.value)))
            return records


def _key(topic: str, value: bytes) -> bytes:
    name = "item_id" if topic == "items" else "user_id"
    return str(Codec.for_topic(topic).decode(value)[name]).encode()


@pytest.fixture(scope="session")
def common_prefix() -> str:
    """The prefix of topics for all tests that depend on nothing that others wrote: topics are expensive to create."""
    return f"test-{uuid.uuid4().hex[:12]}."


@pytest.fixture
def settings(kafka: str, topic_prefix: str) -> GatewaySettings:
    overrides: dict[str, Any] = {"gateway_deadline_sec": 0.5, "gateway_grace_sec": 0.5}
    return GatewaySettings(kafka_bootstrap_servers=kafka, topic_prefix=topic_prefix, **overrides)


@asynccontextmanager
async def serving(settings: GatewaySettings, clock: Clock | None = None) -> AsyncIterator[RunningGateway]:
    """Run a gateway that reads answers from now on, by default at NOW_MS."""
    clock = clock or ManualClock(NOW_MS)
    bus, health, pending = Bus(settings), Health(), PendingRequests()
    await bus.create_topics()
    items_reader = bus.reader(bus.topic_partitions(ITEMS))
    read_by_tests = [
        partition
        for topic in (USER_EVENTS, ITEMS, RECOMMENDATION_REQUESTS)
        for partition in bus.topic_partitions(topic)
    ]
    async with (
        bus.producer() as producer,
        bus.reader(bus.topic_partitions(RECOMMENDATIONS)) as reader,
        items_reader as item_records,
    ):
        started_at = await item_records.end_offsets(read_by_tests)
        publisher = EventPublisher(producer, settings.gateway_publish_timeout_sec)
        rules = Rules(load_scenarios(settings.scenarios_path))
        items = ItemStore(bus)
        changes = ItemChanges(bus, items, rules, settings.gateway_publish_timeout_sec)
        app = build_app(Gateway(rules, publisher, changes, pending, clock, settings, UserRecords(bus)), health)
        tasks = [
            asyncio.create_task(work) for work in (pending.run(reader, health), items.run(item_records), changes.run())
        ]
        await poll_until(lambda: health.ready)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
            yield RunningGateway(http, bus, health, started_at)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@pytest.fixture
async def gateway(settings: GatewaySettings) -> AsyncIterator[RunningGateway]:
    async with serving(settings) as gateway:
        yield gateway
