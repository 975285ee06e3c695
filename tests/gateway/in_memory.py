"""The gateway's application without a Kafka: writes are stored at once, and the scorer answers when a test says so."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from eddy.clock import ManualClock
from eddy.contract.codec import Codec, Record
from eddy.contract.message import Message
from eddy.contract.scenarios import Scenarios, load_scenarios
from eddy.contract.topics import RECOMMENDATIONS
from eddy.kafka.bus import Bus
from eddy.runtime import Health
from eddy_gateway.core.rules import Rules
from eddy_gateway.settings import GatewaySettings
from eddy_gateway.shell.api import Gateway, build_app
from eddy_gateway.shell.item_changes import ItemChanges
from eddy_gateway.shell.item_store import ItemStore
from eddy_gateway.shell.key_store import KeyStore
from eddy_gateway.shell.pending_requests import PendingRequests
from eddy_gateway.shell.publisher import EventPublisher
from eddy_gateway.shell.user_records import UserRecords
from tests.cli.answering import answer
from tests.gateway.conftest import NOW_MS


@dataclass
class InMemory(EventPublisher):
    """Takes records. Requests wait in `asked` until `answer_all`, or are answered at once with `prompt`."""

    pending: PendingRequests
    scenarios: Scenarios
    prompt: bool = True
    stored: list[Record] = field(default_factory=list)
    asked: list[Record] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.release.set()

    async def events(self, records: Sequence[Record]) -> list[int]:
        await self.release.wait()
        self.stored += records
        return list(range(len(records)))

    async def item(self, record: Record) -> None:
        self.stored.append(record)

    async def request(self, record: Record) -> None:
        self.asked.append(record)
        if self.prompt:
            self.answer_all()

    def answer_all(self) -> None:
        """Answer every request that was asked so far."""
        for record in self.asked:
            slate = Codec.for_topic(RECOMMENDATIONS).encode(answer(record, ["i1"]))
            self.pending.resolve(Message(RECOMMENDATIONS, 0, 0, record["user_id"].encode(), slate, NOW_MS))
        self.asked = []


@dataclass
class LocalGateway:
    """The application, what it stored, and its clients."""

    app: Any
    kafka: InMemory
    keys: KeyStore
    health: Health

    def client(self, address: str = "127.0.0.1", **options: Any) -> httpx.AsyncClient:
        """A client at an address."""
        transport = httpx.ASGITransport(self.app, client=(address, 1234))
        return httpx.AsyncClient(transport=transport, **{"base_url": "http://localhost", **options})


def local_gateway(**settings: Any) -> LocalGateway:
    """A gateway that is ready, with these settings."""
    loaded = GatewaySettings(**{"gateway_rate_limit": "", **settings})
    health, pending, keys = Health(ready=True), PendingRequests(), KeyStore(loaded)
    scenarios = load_scenarios(loaded.scenarios_path)
    kafka, rules = InMemory(pending, scenarios), Rules(scenarios)
    bus = Bus(loaded)  # not connected
    changes = ItemChanges(bus, ItemStore(bus), rules, 1.0)
    app = build_app(
        Gateway(rules, kafka, changes, pending, ManualClock(NOW_MS), loaded, UserRecords(Bus(loaded))), health, keys
    )
    return LocalGateway(app, kafka, keys, health)
