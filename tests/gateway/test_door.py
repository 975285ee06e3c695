"""The gateway as a public door: keys, rates, sizes, readiness, and an orderly end."""

import signal
import threading
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from eddy.errors import ConfigError
from eddy_cli.ports import HOST
from eddy_gateway.settings import GatewaySettings
from eddy_gateway.shell.door import keys_of, rate_of
from tests.gateway.conftest import serving
from tests.gateway.test_events import click
from tests.service import running


def changed(settings: GatewaySettings, **changes: Any) -> GatewaySettings:
    return settings.model_copy(update=changes)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"x-api-key": "wrong"}, 401),
        ({"authorization": "Basic c2VjcmV0"}, 401),
        ({"cookie": "eddy_key"}, 401),
        ({"x-api-key": "s\u00e9cret".encode()}, 401),
        ({"x-api-key": "secret"}, 202),
        ({"x-api-key": "other"}, 202),
        ({"authorization": "Bearer secret"}, 202),
        ({"cookie": "a=b; eddy_key=secret"}, 202),
    ],
)
async def test_a_key_opens_the_door(settings: GatewaySettings, headers: Mapping[str, Any], status: int) -> None:
    async with serving(changed(settings, gateway_api_keys="secret, other")) as served:
        answer = await served.http.post("/v1/events", json=click(), headers=headers)
        assert answer.status_code == status
        if status == 401:
            assert "API" in answer.json()["detail"]
            assert answer.headers["www-authenticate"] == "Bearer"
        for path in ("/healthz", "/readyz", "/metrics", "/docs"):
            assert (await served.http.get(path)).status_code == 200


@pytest.mark.parametrize(
    ("host", "reached_by", "keys", "open_to_all"),
    [
        ("127.0.0.1", "", "", True),
        ("localhost", "", "", True),
        ("::1", "", "", True),
        ("0.0.0.0", "127.0.0.1", "", True),
        ("0.0.0.0", "", "", False),
        ("0.0.0.0", "10.0.0.5", "", False),
        ("127.0.0.1", "eddy.example", "", False),
        ("0.0.0.0", "", " , ", False),
    ],
)
def test_without_keys_nobody_else_may_reach_it(
    settings: GatewaySettings, host: str, reached_by: str, keys: str, open_to_all: bool
) -> None:
    asked = changed(settings, http_host=host, gateway_reached_by=reached_by, gateway_api_keys=keys)
    if open_to_all:
        assert keys_of(asked) == []
    else:
        with pytest.raises(ConfigError, match="EDDY_GATEWAY_API_KEYS is empty"):
            keys_of(asked)
    assert keys_of(changed(asked, gateway_api_keys="a,b")) == ["a", "b"]


def test_what_is_no_rate_is_refused(settings: GatewaySettings) -> None:
    with pytest.raises(ConfigError, match="EDDY_GATEWAY_RATE_LIMIT: 'often' is not a rate"):
        rate_of(changed(settings, gateway_rate_limit="often"))
    assert rate_of(changed(settings, gateway_rate_limit="")) is None


async def test_who_comes_too_often_is_told_when_to_come_again(settings: GatewaySettings) -> None:
    limited = changed(settings, gateway_rate_limit="3/minute", gateway_api_keys="a,b")
    async with serving(limited) as served:
        statuses = [
            (await served.http.post("/v1/events", json=click(), headers={"x-api-key": key})).status_code
            for key in "aaabaa"
        ]
        assert statuses == [202, 202, 202, 202, 429, 429]
        refused = await served.http.post("/v1/events", json=click(), headers={"x-api-key": "a"})
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert "slow down" in refused.json()["detail"]


async def _pieces() -> AsyncIterator[bytes]:
    for _ in range(100):
        yield b" " * 100


@pytest.mark.parametrize("told", [True, False])
async def test_a_body_that_is_too_large_is_refused(settings: GatewaySettings, told: bool) -> None:
    async with serving(changed(settings, gateway_max_body_bytes=2048)) as served:
        content: Any = b" " * 10_000 if told else _pieces()
        answer = await served.http.post("/v1/events", content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 413
        assert "2048 bytes" in answer.json()["detail"]
        assert (await served.http.post("/v1/events", json=click())).status_code == 202


async def test_nobody_is_let_in_before_it_is_ready(settings: GatewaySettings) -> None:
    async with serving(settings) as served:
        served.health.ready = False
        answer = await served.http.post("/v1/events", json=click())
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        served.health.ready = True
        assert (await served.http.post("/v1/events", json=click())).status_code == 202


@pytest.mark.stack
async def test_what_is_under_way_is_finished_when_it_is_told_to_stop(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    """No scorer answers: the gateway waits for one as long as it always does, and says so, before it ends."""
    environment = {"EDDY_KAFKA_BOOTSTRAP_SERVERS": kafka, "EDDY_TOPIC_PREFIX": topic_prefix}
    with running("gateway", environment, tmp_path / "gateway.log") as gateway:
        await gateway.ready()
        found: list[int] = []

        def ask() -> None:
            address = f"http://{HOST}:{gateway.port}/v1/recommendations/u?scenario=video"
            found.append(httpx.get(address, timeout=20).status_code)

        asking = threading.Thread(target=ask)
        asking.start()
        threading.Event().wait(0.5)
        gateway.process.send_signal(signal.SIGTERM)
        asking.join()
        assert found == [504]
        assert gateway.process.wait(timeout=30) == 0


async def test_a_made_up_key_is_no_client_of_its_own(settings: GatewaySettings) -> None:
    async with serving(changed(settings, gateway_rate_limit="2/minute")) as served:
        answers = [
            await served.http.post("/v1/events", json=click(), headers={"x-api-key": f"key{number}"})
            for number in range(3)
        ]
        assert [answer.status_code for answer in answers] == [202, 202, 429]
