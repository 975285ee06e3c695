"""The routes of the console: its page, and the data that the API does not give."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, Field
from sse_starlette import EventSourceResponse
from starlette.types import Receive, Scope, Send

from eddy.contract.limits import MAX_SLATE
from eddy.contract.scenarios import Scenarios
from eddy.shares import FairShares
from eddy_gateway.console.loop_monitor import LoopMonitor
from eddy_gateway.core.models import Id
from eddy_gateway.shell.access import COOKIE, Access, address_of, caller_name
from eddy_gateway.shell.authorisation import Caller
from eddy_gateway.shell.item_store import ItemStore
from eddy_gateway.shell.refusals import RETRY_SEC, refuse

STATIC = Path(__file__).with_name("static")


@dataclass(frozen=True, slots=True)
class Console:
    """The sources of the console's data."""

    scenarios: Scenarios
    item_store: ItemStore
    monitor: LoopMonitor


class Login(BaseModel):
    """The API key to keep in the cookie."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field(min_length=1, max_length=512)


class _SharedStream(EventSourceResponse):
    """An event stream that gives its share back at its end, also if it never began."""

    def __init__(self, events: AsyncIterator[dict[str, str]], streams: FairShares, caller: str) -> None:
        super().__init__(events)
        self._streams = streams
        self._caller = caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.give_back(self._caller)


def add_console(app: FastAPI, console: Console, max_streams: int) -> None:
    """Add the page at `/`, and its files and data below `/console`. None of them is part of the API."""
    access: Access = app.state.access
    streams = FairShares(max_streams)

    @app.post("/console/login", include_in_schema=False, status_code=204)
    async def login(request: Request, body: Login) -> Response:
        """Keep a valid key in a cookie that scripts cannot read, and that other sites cannot send."""
        key = access.key_of(body.key, address_of(request.scope))
        if isinstance(key, JSONResponse):
            return key
        response = Response(status_code=204)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, quote(body.key, safe=""), path="/", secure=secure, httponly=True, samesite="strict")
        return response

    @app.post("/console/logout", include_in_schema=False, status_code=204)
    async def logout() -> Response:
        response = Response(status_code=204)
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return response

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/console/scenarios", include_in_schema=False)
    async def scenarios(caller: Caller) -> list[dict[str, Any]]:
        """The caller's scenarios with their actions, strongest last, and the range of each action's values."""
        return [
            {
                "name": name,
                "searchable": "search" in scenario.actions,
                "actions": [
                    {"name": action, "value": rule.value and rule.value.model_dump()}
                    for action, rule in sorted(scenario.actions.items(), key=lambda entry: entry[1].weight)
                    if rule.weight
                ],
            }
            for name, scenario in console.scenarios.scenarios.items()
            if caller.may_use(name)
        ]

    @app.get("/console/items", include_in_schema=False)
    async def items(item_id: Annotated[list[Id], Query(max_length=MAX_SLATE)]) -> dict[str, Any]:
        return {"items": console.item_store.titles(item_id)}

    @app.get("/console/loop", include_in_schema=False)
    async def loop(request: Request, caller: Caller) -> Response:
        """Server-sent events, each a list of points (LoopPoint)."""
        if caller.tenant or caller.scenarios is not None:
            detail = f"The charts show all tenants; the API key {caller.name} is for one. Use a key without a tenant."
            return refuse(403, "other_tenant", detail, key=caller.name)
        name = caller_name(request.scope)
        if not streams.take(name):
            detail = "Too many event streams are open. Close other consoles, and try again."
            return refuse(429, "streams", detail, key=caller.name, retry_sec=RETRY_SEC)

        async def events() -> AsyncIterator[dict[str, str]]:
            async for points in console.monitor.watch():
                yield {"data": json.dumps(points)}

        return _SharedStream(events(), streams, name)

    app.mount("/console", StaticFiles(directory=STATIC), name="console")
