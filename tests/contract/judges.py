"""The verdict of each service on a record, through the code that reads its records."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

import httpx

from eddy.clock import ManualClock
from eddy.contract.codec import Codec, Record
from eddy.contract.message import Message
from eddy.contract.topics import RECOMMENDATION_REQUESTS, RECOMMENDATIONS, USER_EVENTS
from eddy.errors import PoisonError
from eddy.kafka.bus import Bus
from eddy.runtime import Health
from eddy_features.core.cleaning import Cleaner
from eddy_features.core.states import DictRecords
from eddy_features.core.user_state import UserPolicy
from eddy_features.core.user_updater import UserUpdater
from eddy_gateway.core.rules import Rules
from eddy_gateway.settings import GatewaySettings
from eddy_gateway.shell.api import Gateway, build_app
from eddy_gateway.shell.item_changes import ItemChanges
from eddy_gateway.shell.item_store import ItemStore
from eddy_gateway.shell.pending_requests import PendingRequests
from eddy_gateway.shell.publisher import EventPublisher
from eddy_gateway.shell.user_records import UserRecords
from eddy_joiner.core.events import JoinerEvent, read_event
from eddy_joiner.core.policy import AttributionPolicy
from eddy_joiner.shell.intake import accept_event
from eddy_scorer.shell.requests_reader import RequestDecoder
from tests.cli.answering import answer
from tests.contract.generated import NOW_MS, SCENARIOS

Verdict = tuple[str, str | None]
USABLE: Verdict = ("usable", None)


def message_of(topic: str, record: Record, key: bytes | None) -> Message:
    """The record as it stands in its topic, appended at NOW_MS."""
    return Message(topic, 0, 0, key, Codec.for_topic(topic).encode(record), NOW_MS)


class InMemory(EventPublisher):
    """Kafka in memory: takes what can be encoded, and answers every request with an empty list."""

    def __init__(self, answers: PendingRequests) -> None:
        self._answers = answers

    async def events(self, records: Sequence[Record]) -> list[int]:
        for record in records:
            Codec.for_topic(USER_EVENTS).encode(record)
        return list(range(len(records)))

    async def request(self, record: Record) -> None:
        Codec.for_topic(RECOMMENDATION_REQUESTS).encode(record)
        self._answers.resolve(message_of(RECOMMENDATIONS, answer(record, []), record["user_id"].encode()))


class GatewayJudge:
    """The HTTP application, asked as a client asks it."""

    def __init__(self) -> None:
        health, answers = Health(), PendingRequests()
        health.ready = True
        settings = GatewaySettings(gateway_rate_limit="")
        rules, bus = Rules(SCENARIOS), Bus(settings)  # not connected
        changes = ItemChanges(bus, ItemStore(bus), rules, 1.0)
        gateway = Gateway(
            rules, InMemory(answers), changes, answers, ManualClock(NOW_MS), settings, UserRecords(Bus(settings))
        )
        transport = httpx.ASGITransport(build_app(gateway, health))
        self.rules = gateway.rules
        self._http = httpx.AsyncClient(transport=transport, base_url="http://localhost")
        self._loop = asyncio.Runner()

    def of_event(self, event: Record, left_out: bool) -> Verdict:
        """Fields without a value are sent as null, or `left_out`."""
        body = {name: value for name, value in event.items() if value is not None or not left_out}
        sent = self._http.post("/v1/events", content=json.dumps([body]), headers={"content-type": "application/json"})
        return _verdict(self._loop.run(sent), 202)

    def of_request(self, request: Record) -> Verdict:
        names = ("scenario", "limit", "query", "after_offset", "exclude")
        parameters = {name: request[name] for name in names if request[name] is not None}
        path = f"/v1/recommendations/{quote(request['user_id'], safe='')}"
        return _verdict(self._loop.run(self._http.get(path, params=parameters)), 200)

    def close(self) -> None:
        self._loop.run(self._http.aclose())
        self._loop.close()


def _verdict(answered: httpx.Response, accepted: int) -> Verdict:
    if answered.status_code == accepted:
        return USABLE
    assert answered.status_code == 422, answered.text
    (complaint,) = answered.json()["detail"]
    assert complaint["msg"]
    return complaint["type"], complaint["loc"][-1]


@dataclass
class FeaturesJudge:
    """A batch of one event through the side that keeps users."""

    cleaner: Cleaner = field(default_factory=lambda: Cleaner(SCENARIOS))

    def of_event(self, event: Record, key: bytes | None) -> Verdict:
        side = UserUpdater(self.cleaner, UserPolicy(), DictRecords(), 10)
        poison = side.apply(0, [message_of(USER_EVENTS, event, key)]).poison
        return (poison[0][1].reason, poison[0][1].field) if poison else USABLE


@dataclass
class JoinerJudge:
    """The joiner's intake; what it passes over, it says by the reason that it read."""

    policy: AttributionPolicy = field(default_factory=lambda: AttributionPolicy(SCENARIOS))

    def of_event(self, event: Record, key: bytes | None) -> Verdict:
        message = message_of(USER_EVENTS, event, key)
        taken = isinstance(accept_event(message, self.policy), JoinerEvent)
        try:
            read_event(message, self.policy)
        except PoisonError as error:
            assert not taken
            return error.reason, error.field
        assert taken
        return USABLE


@dataclass
class ScorerJudge:
    """The reader of requests."""

    requests: RequestDecoder = field(default_factory=lambda: RequestDecoder(SCENARIOS, ManualClock(NOW_MS), 1000))

    def of_request(self, request: Record, key: bytes | None) -> Verdict:
        try:
            self.requests.decode(message_of(RECOMMENDATION_REQUESTS, request, key))
        except PoisonError as error:
            return error.reason, error.field
        return USABLE
