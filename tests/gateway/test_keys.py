"""API keys: scopes, tenants, rotation, wrong keys, and the console's cookie."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from eddy.errors import ConfigError
from eddy_cli.api_keys import add_key, remove_keys
from eddy_cli.commands.app import make_app
from eddy_gateway.console.loop_monitor import LoopMonitor
from eddy_gateway.console.routes import Console, add_console
from eddy_gateway.core.keys import KeyRing, hash_of
from eddy_gateway.settings import GatewaySettings
from eddy_gateway.shell.key_store import KeyStore, read_keys
from tests.gateway.in_memory import LocalGateway, local_gateway
from tests.gateway.test_events import click

LIST = "/v1/recommendations/u?scenario=video"


def keyed(path: Path, *scopes: str, tenant: str = "", scenarios: list[str] | None = None) -> tuple[LocalGateway, str]:
    """A gateway with one key in a file, and its secret."""
    secret = add_key(path / "keys.yaml", "shop", scopes, tenant, scenarios)
    return local_gateway(gateway_keys_file=path / "keys.yaml"), secret


def client(gateway: LocalGateway, secret: str, address: str = "10.0.0.1") -> httpx.AsyncClient:
    return gateway.client(address, headers={"x-api-key": secret}, base_url="http://eddy.example")


@pytest.mark.parametrize(
    ("scope", "expected"),
    [("read", [200, 403, 403]), ("write", [403, 202, 200]), ("admin", [200, 202, 200])],
)
async def test_each_scope_allows_its_methods(tmp_path: Path, scope: str, expected: list[int]) -> None:
    gateway, secret = keyed(tmp_path, scope)
    async with client(gateway, secret) as http:
        answers = [
            await http.get(LIST),
            await http.post("/v1/events", json=click()),
            await http.put("/v1/items/i1", json={}),
        ]
    assert [answer.status_code for answer in answers] == expected
    for answer in answers:
        if answer.status_code == 403:
            assert f"has the scope {scope}; this needs" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/v1/users/u", "/v1/items/i1"])
async def test_deleting_and_all_data_of_a_user_need_admin(tmp_path: Path, path: str) -> None:
    gateway, secret = keyed(tmp_path, "read", "write")

    @gateway.app.get("/v1/users/{user_id}")
    async def everything(user_id: str) -> str:
        return user_id

    async with client(gateway, secret) as http:
        for method in ("DELETE", "GET") if "users" in path else ("DELETE",):
            answer = await http.request(method, path)
            assert (answer.status_code, "this needs admin" in answer.json()["detail"]) == (403, True)


def _event(**changes: Any) -> dict[str, Any]:
    return {**click(), "user_id": "acme.u", "item_id": "acme.i", "scenario": "video", **changes}


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/v1/events", [_event(), _event(user_id="other.u")], ["body", 1, "user_id"]),
        ("POST", "/v1/events", [_event(item_id="other.i")], ["body", 0, "item_id"]),
        ("POST", "/v1/events", [_event(scenario="shop")], ["body", 0, "scenario"]),
        ("PUT", "/v1/items/other.i", {"scenarios": ["video"]}, ["path", "item_id"]),
        ("PUT", "/v1/items/acme.i", {"scenarios": ["shop"]}, ["body", "scenarios"]),
        ("PUT", "/v1/items/acme.i", {}, ["body", "scenarios"]),
        ("PATCH", "/v1/items/other.i", {"title": "x"}, ["path", "item_id"]),
        ("PATCH", "/v1/items/acme.i", {"scenarios": None}, ["body", "scenarios"]),
        ("GET", "/v1/recommendations/other.u?scenario=video", None, ["path", "user_id"]),
        ("GET", "/v1/recommendations/acme.u?scenario=shop", None, ["query", "scenario"]),
        ("GET", "/v1/recommendations/acme.u?scenario=video&exclude=acme.i&exclude=x", None, ["query", "exclude"]),
    ],
)
async def test_a_tenant_names_nothing_of_others(
    tmp_path: Path, method: str, path: str, body: object, field: list[object]
) -> None:
    gateway, secret = keyed(tmp_path, "read", "write", tenant="acme.", scenarios=["video"])
    async with client(gateway, secret) as http:
        answer = await http.request(method, path, json=body)
    assert answer.status_code == 403
    (problem,) = answer.json()["detail"]
    assert (problem["loc"], problem["type"]) == (field, "other_tenant")
    assert "Use" in problem["msg"] or "Name" in problem["msg"]
    assert gateway.kafka.stored == []


async def test_a_tenant_uses_what_is_its_own(tmp_path: Path) -> None:
    gateway, secret = keyed(tmp_path, "read", "write", tenant="acme.", scenarios=["video"])
    async with client(gateway, secret) as http:
        assert (
            await http.post("/v1/events", json=[_event(), _event(item_id=None, action="impression")])
        ).status_code in (202, 422)
        assert (await http.post("/v1/events", json=_event())).status_code == 202
        assert (await http.put("/v1/items/acme.i", json={"scenarios": ["video"]})).status_code == 200
        assert (await http.get("/v1/recommendations/acme.u?scenario=video")).status_code == 200


async def test_without_a_list_the_scenarios_of_a_tenant_begin_with_its_prefix(tmp_path: Path) -> None:
    gateway, secret = keyed(tmp_path, "read", "write", tenant="vid")
    async with client(gateway, secret) as http:
        body = {**_event(), "user_id": "vid-u", "item_id": "vid-i"}
        assert (await http.post("/v1/events", json=body)).status_code == 202
        assert (await http.post("/v1/events", json={**body, "scenario": "music"})).status_code == 403


async def test_keys_are_rotated_while_the_gateway_runs(tmp_path: Path) -> None:
    gateway, former = keyed(tmp_path, "read")
    file = tmp_path / "keys.yaml"
    async with gateway.client(base_url="http://eddy.example") as http:

        async def status(secret: str) -> int:
            gateway.keys.refresh()
            return (await http.get(LIST, headers={"authorization": f"Bearer {secret}"})).status_code

        present = add_key(file, "shop", ["read"], "", None)
        assert [await status(former), await status(present)] == [200, 200]
        assert remove_keys(file, "shop", keep_newest=True) == 1
        assert [await status(former), await status(present)] == [401, 200]
        content = file.read_text()
        file.write_text("keys: [{name: shop}]")
        assert await status(present) == 200, "an unusable file leaves the former keys in place"
        file.write_text(content.replace("keys:", "keys: # again"))
        assert await status(present) == 200
        remove_keys(file, "shop", keep_newest=False)
        assert await status(present) == 401, "a file without keys admits nobody"
    assert present not in content
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("keys: [{name: a}]", "keys.0.sha256"),
        ("keys: [{name: a, sha256: secret, scopes: [read]}]", "keys.0.sha256"),
        (f"keys: [{{name: a, sha256: {'a' * 64}, scopes: [root]}}]", "keys.0.scopes"),
        (f"keys: [{{name: a, sha256: {'a' * 64}, scopes: []}}]", "keys.0.scopes"),
        (f"keys: [{{name: a b, sha256: {'a' * 64}, scopes: [read]}}]", "keys.0.name"),
        (f"keys: [{{name: a, sha256: {'a' * 64}, scopes: [read], tennant: x}}]", "keys.0.tennant"),
        ("- a", "keys"),
        ("keys: [", "line 1"),
    ],
)
def test_an_unusable_file_is_refused_with_the_entry(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "keys.yaml").write_text(text)
    with pytest.raises(ConfigError, match=problem):
        read_keys(tmp_path / "keys.yaml")


def test_an_empty_file_opens_no_gateway_that_others_can_reach(tmp_path: Path) -> None:
    (tmp_path / "keys.yaml").write_text("")
    with pytest.raises(ConfigError, match="no key"):
        KeyStore(GatewaySettings(gateway_keys_file=tmp_path / "keys.yaml", http_host="0.0.0.0"))
    assert KeyStore(GatewaySettings(gateway_keys_file=tmp_path / "keys.yaml")).required


def test_the_command_adds_lists_and_removes(tmp_path: Path) -> None:
    file = str(tmp_path / "keys.yaml")
    run = CliRunner().invoke
    added = run(make_app(), ["api-keys", "add", "shop", "--file", file, "--scope", "read", "--tenant", "acme."])
    assert added.exit_code == 0, added.output
    (key,) = read_keys(tmp_path / "keys.yaml")
    assert KeyRing([key]).find(added.output.strip()) == key
    listed = run(make_app(), ["api-keys", "list", "--file", file]).output
    assert listed == f"shop\tread\tacme.\t{hash_of(added.output.strip())[:8]}\n"
    assert run(make_app(), ["api-keys", "remove", "shop", "--file", file]).output == "removed 1 keys\n"


async def test_wrong_keys_are_limited_and_right_ones_pass(tmp_path: Path) -> None:
    gateway, secret = keyed(tmp_path, "read")
    async with gateway.client("10.0.0.1", base_url="http://eddy.example") as http:
        statuses = [(await http.get(LIST, headers={"x-api-key": f"guess{number}"})).status_code for number in range(30)]
        assert (statuses[:20], statuses[20:]) == ([401] * 20, [429] * 10)
        limited = await http.get(LIST, headers={"x-api-key": "guess"})
        assert int(limited.headers["retry-after"]) >= 1
        assert (await http.get(LIST, headers={"x-api-key": secret})).status_code == 200
    async with gateway.client("10.0.0.2", base_url="http://eddy.example") as other:
        assert (await other.get(LIST, headers={"x-api-key": "guess"})).status_code == 401


async def test_an_ipv6_network_is_one_caller(tmp_path: Path) -> None:
    gateway, _ = keyed(tmp_path, "read")
    statuses = []
    for number in range(25):
        async with gateway.client(f"2001:db8::{number:x}", base_url="http://eddy.example") as http:
            statuses.append((await http.get(LIST, headers={"x-api-key": "guess"})).status_code)
    assert statuses == [401] * 20 + [429] * 5


def _with_console(gateway: LocalGateway) -> LocalGateway:
    monitor = LoopMonitor.__new__(LoopMonitor)  # not connected
    add_console(gateway.app, Console(gateway.kafka.scenarios, None, monitor), 4)  # type: ignore[arg-type]  # no items
    return gateway


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_console_keeps_the_key_where_scripts_cannot_read_it(tmp_path: Path, scheme: str) -> None:
    gateway, secret = keyed(tmp_path, "read")
    _with_console(gateway)
    async with gateway.client(base_url=f"{scheme}://eddy.example") as http:
        assert (await http.get("/console/scenarios")).status_code == 401
        assert (await http.post("/console/login", json={"key": "wrong"})).status_code == 401
        login = await http.post("/console/login", json={"key": secret})
        assert login.status_code == 204
        cookie = login.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert ("secure" in cookie) == (scheme == "https")
        assert (await http.get("/console/scenarios")).status_code == 200
        assert (await http.post("/console/logout")).status_code == 204
        assert (await http.get("/console/scenarios")).status_code == 401


async def test_wrong_keys_of_the_console_are_limited_too(tmp_path: Path) -> None:
    gateway, _ = keyed(tmp_path, "read")
    _with_console(gateway)
    async with gateway.client(base_url="http://eddy.example") as http:
        statuses = [(await http.post("/console/login", json={"key": "wrong"})).status_code for _ in range(22)]
    assert statuses == [401] * 20 + [429] * 2


async def test_requests_and_refusals_are_counted_by_the_name_of_the_key(tmp_path: Path) -> None:
    gateway, secret = keyed(tmp_path, "read")
    async with client(gateway, secret) as http:
        await http.post("/v1/events", json=click())
        metrics = (await http.get("/metrics")).text
    assert 'eddy_gateway_key_requests_total{key="shop"}' in metrics
    assert 'eddy_gateway_refused_requests_total{key="shop",reason="scope"}' in metrics
