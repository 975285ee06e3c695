"""What browsers get: headers, the Host check, the API reference without the internet, bounded event streams."""

import asyncio
import json
import re

import httpx
import pytest

from eddy_gateway.console.routes import STATIC
from tests.gateway.in_memory import local_gateway
from tests.gateway.test_events import click


@pytest.mark.parametrize(
    "path", ["/docs", "/openapi.json", "/v1/recommendations/u?scenario=video", "/nowhere", "/metrics"]
)
async def test_every_answer_has_security_headers(path: str) -> None:
    async with local_gateway().client() as http:
        headers = (await http.get(path)).headers
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert (headers.get("cache-control") == "no-store") == path.startswith("/v1/")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:8000", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1:8000", 200),
        ("127.8.9.1", 200),
        ("[::1]:8000", 200),
        ("eddy.internal", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example:8000", 421),
        ("[::2]", 421),
    ],
)
async def test_a_gateway_without_keys_answers_to_its_own_names_only(host: str, status: int) -> None:
    """Otherwise a page could rebind its name to 127.0.0.1 and read what the gateway answers."""
    gateway = local_gateway(gateway_allowed_hosts="eddy.internal, other.internal")
    async with gateway.client() as http:
        for path in ("/v1/recommendations/u?scenario=video", "/docs"):
            answer = await http.get(path, headers={"host": host})
            assert answer.status_code == status
            if status == 421:
                assert "EDDY_GATEWAY_ALLOWED_HOSTS" in answer.json()["detail"]
        assert (await http.get("/healthz", headers={"host": host})).status_code == 200


async def test_a_gateway_with_keys_may_have_any_name() -> None:
    async with local_gateway(gateway_api_keys="secret").client(headers={"x-api-key": "secret"}) as http:
        answer = await http.get("/v1/recommendations/u?scenario=video", headers={"host": "eddy.example"})
    assert answer.status_code == 200


async def test_the_reference_needs_no_other_host() -> None:
    async with local_gateway(gateway_api_keys="secret").client() as http:
        page = (await http.get("/docs")).text
        files = re.findall(r'(?:src|href)="(/docs/[^"]+)"', page)
        assert len(files) == 4
        for file in files:
            assert (await http.get(file)).status_code == 200
    assert "://" not in page
    assert not re.search(r"<script>|<style|onclick| style=", page)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None]
)
async def test_a_page_of_another_site_cannot_write(content_type: str | None) -> None:
    """Browsers send these types to any site without asking it first (CORS)."""
    gateway = local_gateway()
    headers = {"origin": "http://evil.example", **({"content-type": content_type} if content_type else {})}
    async with gateway.client() as http:
        answer = await http.post("/v1/events", content=json.dumps(click()), headers=headers)
        preflight = await http.options("/v1/events", headers={**headers, "access-control-request-method": "POST"})
    assert answer.status_code == 415
    assert gateway.kafka.stored == []
    assert "access-control-allow-origin" not in {*answer.headers, *preflight.headers}


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/v1/nothing", 404, "/docs lists all"),
        ("DELETE", "/v1/events", 405, "Use POST"),
        ("POST", "/v1/events", 422, "JSON"),
    ],
)
async def test_errors_of_routing_are_json_and_say_what_to_do(method: str, path: str, status: int, words: str) -> None:
    async with local_gateway().client() as http:
        answer = await http.request(method, path, content=b"{", headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert words in str(answer.json()["detail"])


@pytest.mark.parametrize(
    ("method", "path", "content_type", "accepted"),
    [
        ("PATCH", "/v1/items/m1", "application/json-patch+json", "application/json, application/merge-patch+json"),
        ("PATCH", "/v1/items/m1", "application/vnd.api+json", "application/json, application/merge-patch+json"),
        ("PATCH", "/v1/items/m1", "text/json", "application/json, application/merge-patch+json"),
        ("PATCH", "/v1/items/m1", "", "application/json, application/merge-patch+json"),
        ("PUT", "/v1/items/m1", "application/merge-patch+json", "application/json"),
        ("POST", "/v1/events", "Application/JSON-Patch+JSON; charset=utf-8", "application/json"),
        ("POST", "/v1/events", "application/xml", "application/json"),
    ],
)
async def test_a_body_of_another_type_is_415_and_names_what_is_accepted(
    method: str, path: str, content_type: str, accepted: str
) -> None:
    gateway = local_gateway()
    async with gateway.client() as http:
        answer = await http.request(method, path, content=b"{}", headers={"content-type": content_type})
    detail = answer.json()["detail"]
    assert answer.status_code == 415
    assert answer.headers["accept-patch" if method == "PATCH" else "accept"] == accepted
    assert f"Send {accepted.replace(', ', ' or ')}." in detail
    assert (repr(content_type)[1:-1] in detail) if content_type else "missing" in detail
    assert ("list of operations" in detail) is ("json-patch" in content_type.lower())
    assert gateway.kafka.stored == []


@pytest.mark.parametrize(
    ("method", "path", "content_type"),
    [
        ("POST", "/v1/events", "application/json"),
        ("POST", "/v1/events", "Application/JSON; charset=utf-8"),
        ("PATCH", "/v1/items/m1", "application/json"),
        ("PATCH", "/v1/items/m1", "application/merge-patch+json; charset=utf-8"),
        ("GET", "/v1/recommendations/u?scenario=video", "text/plain"),
    ],
)
async def test_a_body_of_an_accepted_type_is_read(method: str, path: str, content_type: str) -> None:
    async with local_gateway().client() as http:
        answer = await http.request(method, path, content=b'{"colour": 1}', headers={"content-type": content_type})
    assert answer.status_code != 415


async def test_a_defect_is_json_too(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = local_gateway()
    monkeypatch.setattr(gateway.kafka, "request", None)
    transport = httpx.ASGITransport(gateway.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        answer = await http.get("/v1/recommendations/u?scenario=video")
    assert (answer.status_code, "defect" in answer.json()["detail"]) == (500, True)
    assert "content-security-policy" in answer.headers


def test_the_console_has_no_inline_scripts_or_styles() -> None:
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"<script>|<style|\son\w+=| style=", page)


async def test_event_streams_are_bounded_by_caller_and_in_all() -> None:
    from eddy_gateway.console.loop_monitor import LoopMonitor
    from eddy_gateway.console.routes import Console, add_console

    gateway = local_gateway()
    monitor = LoopMonitor.__new__(LoopMonitor)  # not connected

    async def watch() -> object:
        yield []
        await asyncio.Event().wait()

    monitor.watch = watch  # type: ignore[method-assign, assignment]
    add_console(gateway.app, Console(gateway.kafka.scenarios, None, monitor), 8)  # type: ignore[arg-type]

    async def open_stream(address: str) -> tuple[int, "asyncio.Task[None]"]:
        status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        path = "/console/loop"
        scope = {
            "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "scheme": "http",
            "headers": [(b"host", b"localhost")], "client": (address, 1), "server": ("localhost", 80), "root_path": "",
            "http_version": "1.1", "asgi": {"version": "3.0"},
        }  # fmt: skip

        async def receive() -> dict[str, object]:
            await asyncio.Event().wait()
            return {}

        async def send(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                status.set_result(int(str(message["status"])))

        task = asyncio.create_task(gateway.app(scope, receive, send))
        return await asyncio.wait_for(status, 5), task

    opened = [await open_stream("10.0.0.1") for _ in range(6)]
    assert [status for status, _ in opened] == [200] * 4 + [429] * 2
    assert (await open_stream("10.0.0.2"))[0] == 200
    for _, task in opened:
        task.cancel()
    await asyncio.gather(*(task for _, task in opened), return_exceptions=True)
    again = [await open_stream("10.0.0.1") for _ in range(3)]
    assert [status for status, _ in again] == [200] * 3
    for _, task in again:
        task.cancel()
    await asyncio.gather(*(task for _, task in again), return_exceptions=True)
