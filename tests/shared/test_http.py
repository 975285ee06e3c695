"""A client cannot hold a connection open, or the whole server, by being slow."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from eddy.http import MAX_HEADER_BYTES, HttpLimits, Shed, plain_get
from eddy.runtime import serve_http
from tests.poll import poll_until

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
QUICK = HttpLimits(header_sec=0.4, body_sec=0.6, idle_sec=0.4, connections=40)


@dataclass
class Server:
    """A running server: its port, and why it refused connections."""

    port: int = 0
    refused: list[str] = field(default_factory=list)
    waiting: int = 0
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def stubborn(self, request: Request) -> Response:
        """Answers also when its client has gone."""
        with suppress(ClientDisconnect):
            await request.body()
        self.waiting += 1
        return PlainTextResponse("late")

    async def wait(self, _: Request) -> Response:
        self.waiting += 1
        await self.go_on.wait()
        return PlainTextResponse("done")

    async def connect(self, address: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, local_addr=(address, 0))

    async def exchange(self, sent: bytes) -> tuple[int, dict[str, object]]:
        """Status and JSON of the answer to raw bytes, read until the server closes."""
        reader, writer = await self.connect()
        writer.write(sent)
        head, _, body = (await asyncio.wait_for(reader.read(), 5)).partition(b"\r\n\r\n")
        writer.close()
        return int(head.split()[1]), json.loads(body)


async def _echo(request: Request) -> Response:
    body = await request.body()
    return JSONResponse(
        {"bytes": len(body), "client": request.client and request.client.host, "scheme": request.url.scheme}
    )


async def _flood(_: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        while True:
            yield bytes(100_000)
            await asyncio.sleep(0)

    return StreamingResponse(chunks())


async def _refuse(_: Request) -> Response:
    return PlainTextResponse("no", 413)  # without reading the body


@asynccontextmanager
async def serving(limits: HttpLimits = QUICK, shed: Shed | None = None) -> AsyncIterator[Server]:
    server = Server()
    routes = [
        Route("/", _echo, methods=["GET", "POST"]),
        Route("/flood", _flood),
        Route("/wait", server.wait),
        Route("/stubborn", server.stubborn, methods=["POST"]),
        Route("/refuse", _refuse, methods=["POST"]),
    ]

    def listening(port: int) -> None:
        server.port = port

    task = asyncio.create_task(
        serve_http(Starlette(routes=routes), "127.0.0.1", 0, listening, limits, server.refused.append, shed)
    )
    try:
        await poll_until(lambda: server.port)
        yield server
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _closed_after(reader: asyncio.StreamReader) -> float:
    """Seconds until the server closes the connection."""
    started = asyncio.get_running_loop().time()
    with suppress(ConnectionError):
        async with asyncio.timeout(5):
            while await reader.read(1_000_000):
                pass
    return asyncio.get_running_loop().time() - started


@pytest.mark.parametrize(
    ("sent", "status", "reason", "word"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-", 408, "header_timeout", "header"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n12", 408, "body_timeout", "body"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab", 408, "body_timeout", "body"),
        (b"no http\r\n\r\n", 400, "bad_request", "HTTP/1.1"),
        (b"GET /" + b"x" * 2 * MAX_HEADER_BYTES, 431, "header_too_large", "URL"),
    ],
)
async def test_an_incomplete_request_is_refused_in_json(sent: bytes, status: int, reason: str, word: str) -> None:
    async with serving() as server:
        answered, body = await server.exchange(sent)
        assert (answered, server.refused) == (status, [reason])
        assert word in str(body["detail"])


@pytest.mark.parametrize(
    "start", [b"", b"GET / HTTP/1.1\r\nX-Slow: ", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n"]
)
async def test_single_bytes_do_not_extend_the_time(start: bytes) -> None:
    async with serving() as server:
        reader, writer = await server.connect()
        writer.write(start)

        async def trickle() -> None:
            with suppress(ConnectionError):
                while start:
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.05)

        trickling = asyncio.create_task(trickle())
        assert 0.3 < await _closed_after(reader) < 2
        trickling.cancel()
        writer.close()


async def test_the_second_request_of_a_connection_has_time_outs_too() -> None:
    async with serving() as server:
        for second in (b"", b"GET / HTT", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n12"):
            reader, writer = await server.connect()
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"200 OK" in await reader.readuntil(b"}")
            writer.write(second)
            assert 0.3 < await _closed_after(reader) < 2
            writer.close()


async def test_a_body_that_is_refused_early_is_not_read_for_ever() -> None:
    async with serving() as server:
        reader, writer = await server.connect()
        writer.write(b"POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\n\r\nab")
        assert b"413" in await reader.readline()

        async def trickle() -> None:
            with suppress(ConnectionError):
                while True:
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.05)

        trickling = asyncio.create_task(trickle())
        assert await _closed_after(reader) < 2
        trickling.cancel()
        writer.close()


async def test_the_application_learns_that_a_body_will_not_come() -> None:
    async with serving() as server:
        status, _ = await server.exchange(b"POST /stubborn HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n12")
        assert status == 408
        await poll_until(lambda: server.waiting)
        assert server.refused == ["body_timeout"]


async def test_a_reader_that_does_not_read_is_cut_off() -> None:
    async with serving() as server:
        _, writer = await server.connect()
        writer.write(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
        await poll_until(lambda: "write_timeout" in server.refused, 10)
        writer.close()


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HTTP/1.1\r\nX", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1", REQUEST]
)
async def test_many_slow_or_idle_sockets_keep_nobody_out(sent: bytes) -> None:
    """Neither others nor the same address: its oldest sockets are closed for its new ones, and the rest when their time is over."""
    async with serving(HttpLimits(header_sec=3, body_sec=3, idle_sec=3, connections=40)) as server:
        sockets = []
        for _ in range(60):
            sockets.append(await server.connect())
            sockets[-1][1].write(sent)
            if sent == REQUEST:
                assert b"200 OK" in await sockets[-1][0].readuntil(b"}")
        for address in ("127.0.0.1", "127.0.0.2"):
            reader, writer = await server.connect(address)
            writer.write(REQUEST)
            assert b"200 OK" in await asyncio.wait_for(reader.readline(), 5)
            writer.close()
        assert server.refused == ["evicted"] * 41
        await asyncio.gather(*(_closed_after(reader) for reader, _ in sockets))
        for _, writer in sockets:
            writer.close()


async def test_connections_whose_requests_are_being_answered_are_not_closed_for_others() -> None:
    async with serving(HttpLimits(connections=8)) as server:
        busy = [await server.connect() for _ in range(4)]
        for _, writer in busy:
            writer.write(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        await poll_until(lambda: server.waiting == 4)
        reader, writer = await server.connect()
        assert b"503" in await asyncio.wait_for(reader.readline(), 5)
        writer.close()
        other, other_writer = await server.connect("127.0.0.2")
        other_writer.write(REQUEST)
        assert b"200 OK" in await asyncio.wait_for(other.readline(), 5)
        other_writer.close()
        server.go_on.set()
        for reader, writer in busy:
            assert b"200 OK" in await reader.readline()
            writer.close()
        assert server.refused == ["connections"]


async def test_requests_in_time_are_served_also_pipelined_and_with_a_slow_answer() -> None:
    async with serving() as server:
        reader, writer = await server.connect()
        for length in (0, 5, 200_000):
            head = f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n".encode()
            writer.write(head + bytes(length))
        for length in (0, 5, 200_000):
            await reader.readuntil(b"\r\n\r\n")
            assert json.loads(await reader.readuntil(b"}"))["bytes"] == length
        writer.close()
        assert server.refused == []


@pytest.mark.parametrize(
    ("trusted", "client", "scheme"), [("", "127.0.0.1", "http"), ("127.0.0.1", "8.8.8.8", "https")]
)
async def test_only_a_trusted_proxy_says_who_the_caller_is(trusted: str, client: str, scheme: str) -> None:
    async with serving(HttpLimits(trusted_proxies=trusted)) as server:
        head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-For: 8.8.8.8\r\nX-Forwarded-Proto: https\r\n\r\n"
        _, body = await server.exchange(head)
        assert (body["client"], body["scheme"]) == (client, scheme)


HEAD = b"GET /v1/a%20b?c=d HTTP/1.1\r\nHost: a\r\nX-API-Key:  k \r\nConnection: keep-alive\r\n\r\n"


def test_a_plain_get_is_told_from_all_other_requests() -> None:
    headers = [(b"host", b"a"), (b"x-api-key", b"k"), (b"connection", b"keep-alive")]
    assert plain_get(HEAD) == (b"/v1/a%20b?c=d", headers)
    for other in (
        HEAD[:-2],
        HEAD + b"GET",
        HEAD + HEAD,
        HEAD.replace(b"GET", b"POST"),
        HEAD.replace(b"1.1", b"1.0"),
        HEAD.replace(b"keep-alive", b"close"),
        HEAD.replace(b"X-API-Key", b"Content-Length"),
        HEAD.replace(b"X-API-Key", b"transfer-ENCODING"),
        HEAD.replace(b"X-API-Key", b"Upgrade"),
        HEAD.replace(b"X-API-Key", b"Expect"),
        HEAD.replace(b"X-API-Key:", b"X-API-Key :"),
        HEAD.replace(b"X-API-Key", b" X-API-Key"),
        HEAD.replace(b"\r\nX-API-Key", b"\nX-API-Key"),
        HEAD.replace(b"Host: a", b"Host: a\0"),
        HEAD.replace(b"Host: a", b"Host: " + bytes(MAX_HEADER_BYTES)),
        b"",
    ):
        assert plain_get(other) is None


async def test_a_shed_request_is_answered_unparsed_and_its_connection_goes_on() -> None:
    shedding = [True]
    seen: list[tuple[str, bytes]] = []

    def shed(address: str, data: bytes) -> bytes | None:
        seen.append((address, data))
        return b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}" if shedding[0] else None

    async with serving(shed=shed) as server:
        reader, writer = await server.connect("127.0.0.2")
        for _ in range(3):
            writer.write(REQUEST)
            assert (await reader.readuntil(b"{}")).startswith(b"HTTP/1.1 503")
        assert seen == [("127.0.0.2", REQUEST)] * 3
        shedding[0] = False
        writer.write(REQUEST)
        assert b"200 OK" in await reader.readuntil(b"}")
        # In the middle of a request nothing is shed.
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\n")
        await poll_until(lambda: len(seen) == 5)
        shedding[0] = True
        writer.write(b"Content-Length: 3\r\n\r\n")
        await asyncio.sleep(0.05)
        writer.write(b"abc")
        assert b"200 OK" in await reader.readline()
        assert b'"bytes":3' in await reader.readuntil(b"}")
        writer.write(REQUEST)
        assert b"503" in await reader.readline()
        assert 0.3 < await _closed_after(reader) < 2  # an idle connection
        writer.close()
        assert server.refused == []


async def test_who_reads_no_answers_is_not_answered_without_bound() -> None:
    answers = [0]

    def shed(_: str, __: bytes) -> bytes:
        answers[0] += 1
        return b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000)

    async with serving(shed=shed) as server:
        _, writer = await server.connect()
        for _ in range(500):
            writer.write(REQUEST)
            await asyncio.sleep(0.001)
        assert answers[0] < 200
        await poll_until(lambda: "write_timeout" in server.refused, 10)
        writer.close()
