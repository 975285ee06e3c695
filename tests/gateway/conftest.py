"""The gateway on a real broker, asked over ASGI."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from eddy.clock import ManualClock
from eddy.contract.codec import Codec, Record
from eddy.contract.scenarios import load_scenarios
from eddy.contract.topics import RECOMMENDATIONS
from eddy.kafka.bus import Bus
from eddy.runtime import Health
from eddy_gateway.core.rules import Rules
from eddy_gateway.settings import GatewaySettings
from eddy_gateway.shell.api import Gateway, build_app
from eddy_gateway.shell.pending_requests import PendingRequests
from eddy_gateway.shell.publisher import EventPublisher
from tests.poll import poll_until

NOW_MS = 1_750_000_000_000


@dataclass
class Served:
    """A running gateway: a client for it, and its Kafka."""

    http: httpx.AsyncClient
    bus: Bus
    health: Health

    async def read(self, topic: str) -> list[tuple[int, Record]]:
        """Offset and record of everything in a topic."""
        async with self.bus.reader(self.bus.topic_partitions(topic)) as reader:
            ends = await reader.end_offsets()
            found: list[tuple[int, Record]] = []
            while not await reader.at_end(ends):
                for message in await reader.batch():
                    assert message.key == _key(topic, message.value)
                    found.append((message.offset, Codec.for_topic(topic).decode(message.value)))
            return found


def _key(topic: str, value: bytes) -> bytes:
    name = "item_id" if topic == "items" else "user_id"
    return str(Codec.for_topic(topic).decode(value)[name]).encode()


@pytest.fixture
def settings(kafka: str, topic_prefix: str) -> GatewaySettings:
    changed: dict[str, Any] = {"gateway_deadline_sec": 0.5, "gateway_grace_sec": 0.5}
    return GatewaySettings(kafka_bootstrap_servers=kafka, topic_prefix=topic_prefix, **changed)


@asynccontextmanager
async def serving(settings: GatewaySettings) -> AsyncIterator[Served]:
    """A gateway that follows its answers from now on."""
    bus, health, answers = Bus(settings), Health(), PendingRequests()
    await bus.create_topics()
    async with bus.producer() as producer, bus.reader(bus.topic_partitions(RECOMMENDATIONS)) as reader:
        publisher = EventPublisher(producer, settings.gateway_publish_timeout_sec)
        rules = Rules(load_scenarios(settings.scenarios_path))
        app = build_app(Gateway(rules, publisher, answers, ManualClock(NOW_MS), settings), health)
        following = asyncio.create_task(answers.run(reader, health))
        await poll_until(lambda: health.ready)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as http:
            yield Served(http, bus, health)
        following.cancel()
        await asyncio.wait([following])


@pytest.fixture
async def served(settings: GatewaySettings) -> AsyncIterator[Served]:
    async with serving(settings) as running:
        yield running
