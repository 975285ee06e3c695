"""What is refused in an overload is refused before it is parsed, in the same words as by the application."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from eddy.runtime import serve_http
from tests.gateway.in_memory import LocalGateway, local_gateway
from tests.poll import poll_until

PATH = "/v1/recommendations/u?scenario=video"


def _head(path: str = PATH, key: str = "secret-a", extra: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\n{extra}\r\n".encode()


async def _overloaded(address: str = "127.0.0.1", **settings: Any) -> tuple[LocalGateway, "asyncio.Future[Any]"]:
    """A gateway with one caller whose requests are not answered, as many as it may hold and have waiting."""
    gateway = local_gateway(gateway_deadline_sec=30, **settings)
    gateway.kafka.prompt = False
    client = gateway.client(address, headers={"x-api-key": "secret-a"})
    flood = asyncio.gather(*(client.get(PATH) for _ in range(500)))
    await poll_until(lambda: gateway.app.state.shedding._load.crowded)
    return gateway, flood


@pytest.mark.parametrize("keys", ["", "secret-a,secret-b"])
async def test_the_refusal_is_that_of_the_application(keys: str) -> None:
    gateway, flood = await _overloaded(gateway_api_keys=keys)
    answer = gateway.app.state.shedding("127.0.0.1", _head())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    headers = {tuple(line.split(b": ", 1)) for line in head.split(b"\r\n")[1:]}
    async with gateway.client(headers={"x-api-key": "secret-a"}) as client:
        same = await client.get(PATH)
    assert same.status_code == 429
    assert (same.content, set(same.headers.raw)) == (body, headers)
    assert (b"retry-after", b"1") in headers
    flood.cancel()


async def test_only_reads_of_who_would_be_refused_are_shed() -> None:
    gateway, flood = await _overloaded(gateway_api_keys="secret-a,secret-b")
    shed = gateway.app.state.shedding
    assert shed("10.0.0.9", _head())  # a key is one caller at every address
    for other in (
        _head(key="secret-b"),
        _head(key="wrong"),
        _head("/metrics"),
        _head("/console/x"),
        _head(extra="Content-Length: 2\r\n") + b"{}",
        _head().replace(b"GET", b"DELETE"),
    ):
        assert shed("127.0.0.1", other) is None
    flood.cancel()


async def test_behind_a_proxy_only_keys_tell_callers_apart() -> None:
    for keys, told in (("", False), ("secret-a", True)):
        gateway, flood = await _overloaded(gateway_trusted_proxies="127.0.0.1", gateway_api_keys=keys)
        assert bool(gateway.app.state.shedding("127.0.0.1", _head())) is told
        flood.cancel()


async def test_a_flood_over_the_network_is_refused_and_others_are_served() -> None:
    gateway, flood = await _overloaded()
    ports: list[int] = []
    serving = asyncio.create_task(
        serve_http(gateway.app, "127.0.0.1", 0, ports.append, shed=gateway.app.state.shedding)
    )
    await poll_until(lambda: ports)

    async def ask(address: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", ports[0], local_addr=(address, 0))
        writer.write(_head())
        status = await asyncio.wait_for(reader.readline(), 5)
        writer.close()
        return status

    assert b"429" in await ask("127.0.0.1")
    honest = asyncio.create_task(ask("127.0.0.2"))
    await asyncio.sleep(0.1)
    gateway.kafka.answer_all()
    assert b"200" in await honest
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving
    flood.cancel()
