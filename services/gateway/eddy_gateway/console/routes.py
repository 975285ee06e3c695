"""The console's page and what it asks for beside the API."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from sse_starlette import EventSourceResponse

from eddy.contract.limits import MAX_SLATE
from eddy.contract.scenarios import Scenarios
from eddy_gateway.console.pulse import Pulse
from eddy_gateway.console.shelf import Shelf
from eddy_gateway.core.models import Id

STATIC = Path(__file__).with_name("static")


@dataclass(frozen=True, slots=True)
class Console:
    """What the page shows beside lists."""

    scenarios: Scenarios
    shelf: Shelf
    pulse: Pulse


def add_console(app: FastAPI, console: Console) -> None:
    """The page at `/`, its files and data below `/console`; none of it is part of the API."""

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/console/scenarios", include_in_schema=False)
    async def scenarios() -> list[dict[str, Any]]:
        """Each with its actions, strongest last, and the range of their values."""
        return [
            {
                "name": name,
                "searchable": "search" in scenario.actions,
                "actions": [
                    {"name": action, "value": rule.value and rule.value.model_dump()}
                    for action, rule in sorted(scenario.actions.items(), key=lambda each: each[1].weight)
                    if rule.weight
                ],
            }
            for name, scenario in console.scenarios.scenarios.items()
        ]

    @app.get("/console/items", include_in_schema=False)
    async def items(item_id: Annotated[list[Id], Query(max_length=MAX_SLATE)]) -> dict[str, Any]:
        return {"known": len(console.shelf), "items": console.shelf.find(item_id)}

    @app.get("/console/pulse", include_in_schema=False)
    async def pulse() -> EventSourceResponse:
        """Server-sent events: a list of points each."""

        async def events() -> AsyncIterator[dict[str, str]]:
            async for points in console.pulse.watch():
                yield {"data": json.dumps(points)}

        return EventSourceResponse(events())

    app.mount("/console", StaticFiles(directory=STATIC), name="console")
