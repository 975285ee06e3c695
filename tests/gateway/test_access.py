"""Access to the gateway: keys, rate limits, body sizes, readiness and shutdown."""

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
from eddy_gateway.shell.access import configured_rate
from eddy_gateway.shell.key_store import KeyStore
from tests.gateway.conftest import serving
from tests.gateway.test_events import click
from tests.service import running


@pytest.fixture
def topic_prefix(common_prefix: str) -> str:
    return common_prefix


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
async def test_requests_need_a_valid_key(settings: GatewaySettings, headers: Mapping[str, Any], status: int) -> None:
    async with serving(changed(settings, gateway_api_keys="secret, other")) as gateway:
        answer = await gateway.http.post("/v1/events", json=click(), headers=headers)
        assert answer.status_code == status
        if status == 401:
            assert "API" in answer.json()["detail"]
            assert answer.headers["www-authenticate"] == "Bearer"
        for path in ("/healthz", "/readyz", "/metrics", "/docs"):
            assert (await gateway.http.get(path)).status_code == 200


@pytest.mark.parametrize(
    ("host", "reached_by", "keys", "allowed"),
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
def test_keys_may_be_empty_on_a_loopback_address_only(host: str, reached_by: str, keys: str, allowed: bool) -> None:
    def store(keys: str) -> KeyStore:
        return KeyStore(GatewaySettings(http_host=host, gateway_reached_by=reached_by, gateway_api_keys=keys))

    if allowed:
        assert not store(keys).required
    else:
        with pytest.raises(ConfigError, match="EDDY_GATEWAY_API_KEYS is empty"):
            store(keys)
    assert len(store("a,b").ring) == 2


def test_an_invalid_rate_is_refused() -> None:
    settings = GatewaySettings()
    with pytest.raises(ConfigError, match="EDDY_GATEWAY_RATE_LIMIT: 'often' is not a rate"):
        configured_rate(changed(settings, gateway_rate_limit="often"))
    assert configured_rate(changed(settings, gateway_rate_limit="")) is None


async def test_requests_above_the_rate_get_a_retry_after(settings: GatewaySettings) -> None:
    limited = changed(settings, gateway_rate_limit="3/minute", gateway_api_keys="a,b")
    async with serving(limited) as gateway:
        statuses = [
            (await gateway.http.post("/v1/events", json=click(), headers={"x-api-key": key})).status_code
            for key in "aaabaa"
        ]
        assert statuses == [202, 202, 202, 202, 429, 429]
        refused = await gateway.http.post("/v1/events", json=click(), headers={"x-api-key": "a"})
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert "Retry after" in refused.json()["detail"]


async def _chunks() -> AsyncIterator[bytes]:
    for _ in range(100):
        yield b" " * 100


@pytest.mark.parametrize("with_length", [True, False])
async def test_a_body_that_is_too_large_is_refused(settings: GatewaySettings, with_length: bool) -> None:
    async with serving(changed(settings, gateway_max_body_bytes=2048)) as gateway:
        content: Any = b" " * 10_000 if with_length else _chunks()
        answer = await gateway.http.post("/v1/events", content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 413
        assert "2048 bytes" in answer.json()["detail"]
        assert (await gateway.http.post("/v1/events", json=click())).status_code == 202


async def test_requests_are_503_until_the_gateway_is_ready(settings: GatewaySettings) -> None:
    async with serving(settings) as gateway:
        gateway.health.ready = False
        answer = await gateway.http.post("/v1/events", json=click())
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        gateway.health.ready = True
        assert (await gateway.http.post("/v1/events", json=click())).status_code == 202


@pytest.mark.stack
async def test_requests_in_progress_are_finished_at_shutdown(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    """No scorer answers: the gateway waits for the whole deadline, answers 504 and then ends."""
    environment = {"EDDY_KAFKA_BOOTSTRAP_SERVERS": kafka, "EDDY_TOPIC_PREFIX": topic_prefix}
    with running("gateway", environment, tmp_path / "gateway.log") as gateway:
        await gateway.ready()
        statuses: list[int] = []

        def request() -> None:
            url = f"http://{HOST}:{gateway.port}/v1/recommendations/u?scenario=video"
            statuses.append(httpx.get(url, timeout=20).status_code)

        requesting = threading.Thread(target=request)
        requesting.start()
        threading.Event().wait(0.5)
        gateway.process.send_signal(signal.SIGTERM)
        requesting.join()
        assert statuses == [504]
        assert gateway.process.wait(timeout=30) == 0


async def test_without_keys_the_rate_is_limited_by_address(settings: GatewaySettings) -> None:
    async with serving(changed(settings, gateway_rate_limit="2/minute")) as gateway:
        answers = [
            await gateway.http.post("/v1/events", json=click(), headers={"x-api-key": f"key{number}"})
            for number in range(3)
        ]
        assert [answer.status_code for answer in answers] == [202, 202, 429]
