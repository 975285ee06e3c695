"""Answers of the gateway while Kafka is slow or unreachable."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from eddy.contract.codec import Codec
from eddy.contract.topics import USER_EVENTS, USER_FEATURES
from eddy.errors import FatalError
from eddy.kafka.bus import Bus
from eddy.runtime import Health
from eddy_cli.broker import running_broker
from eddy_cli.broker.process import Broker
from eddy_cli.ports import free_port
from eddy_gateway.app import main
from eddy_gateway.settings import GatewaySettings
from eddy_gateway.shell.log_check import check_events_log
from tests.cli.processes import command
from tests.gateway.conftest import NOW_MS, serving
from tests.gateway.test_erasure import encoded_user
from tests.poll import poll_until

pytestmark = pytest.mark.stack

EVENT = {"user_id": "u1", "scenario": "video", "action": "click", "item_id": "i1", "occurred_at": NOW_MS}


async def test_unacknowledged_events_are_503(settings: GatewaySettings) -> None:
    impatient = settings.model_copy(update={"gateway_publish_timeout_sec": 1e-6})
    async with serving(impatient) as gateway:
        answer = await gateway.http.post("/v1/events", json=EVENT)
        assert answer.status_code == 503
        assert "again" in answer.json()["detail"]


@pytest.fixture
def own_broker() -> Iterator[Broker]:
    """A Kafka of this test alone, which it may stop."""
    with running_broker() as broker:
        yield broker


async def test_an_unreachable_broker_is_503_and_the_gateway_recovers(
    own_broker: Broker, settings: GatewaySettings
) -> None:
    overrides = {"kafka_bootstrap_servers": own_broker.bootstrap_servers, "gateway_publish_timeout_sec": 1.0}
    async with serving(settings.model_copy(update=overrides)) as gateway:
        assert (await gateway.http.post("/v1/events", json=EVENT)).status_code == 202
        with paused(own_broker):
            assert (await gateway.http.post("/v1/events", json=EVENT)).status_code == 503
            assert (await gateway.http.get("/v1/recommendations/u1?scenario=video")).status_code == 503
            assert (await gateway.http.get("/healthz")).status_code == 200

        async def accepted() -> bool:
            return (await gateway.http.post("/v1/events", json=EVENT)).status_code == 202

        await poll_until(accepted)


@contextmanager
def paused(broker: Broker) -> Iterator[None]:
    broker.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, broker.process.pid, os.WSTOPPED | os.WNOWAIT)  # all of its threads have stopped then
    try:
        yield
    finally:
        broker.process.send_signal(signal.SIGCONT)


async def test_a_gateway_whose_events_would_never_be_applied_does_not_start(settings: GatewaySettings) -> None:
    """The topic `user-events` was created again while nothing ran: the features service refuses it, and 202 would be no promise."""
    bus, codec = Bus(settings), Codec.for_topic(USER_FEATURES)
    await bus.create_topics()
    async with bus.producer() as producer:

        async def store(user_id: str, log_id: bytes) -> None:
            record = codec.encode({**codec.decode(encoded_user(user_id, 1)), "log_id": log_id})
            await producer.send_all(USER_FEATURES, [(user_id, record)])

        await store("u1", bus.topic_id(USER_EVENTS))
        await store("u2", b"")
        await check_events_log(bus)
        await store("u3", b"f" * 16)
        await producer.send_all(USER_FEATURES, [("u3", b"unreadable"), ("u3", None)])
    with pytest.raises(FatalError, match=r"user-events than the present one.* set EDDY_TOPIC_PREFIX"):
        await main(settings.model_copy(update={"gateway_http_port": 0}), Health())


async def test_the_process_serves_and_ends_cleanly(kafka: str, topic_prefix: str) -> None:
    port = free_port()
    environment = {
        "EDDY_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "EDDY_TOPIC_PREFIX": topic_prefix,
        "EDDY_GATEWAY_HTTP_PORT": str(port),
    }
    with command(["-m", "eddy_gateway"], environment) as gateway:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:

            async def ready() -> bool:
                try:
                    return (await http.get("/readyz")).status_code == 200
                except httpx.TransportError:
                    return False

            await poll_until(ready)
            assert (await http.post("/v1/events", json=EVENT)).status_code == 202
        gateway.send(signal.SIGTERM)
        assert gateway.finish() == 0
        assert "Traceback" not in gateway.output
