"""The routes of the console: its page, and the data that the API does not give."""

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
from eddy_gateway.console.loop_monitor import LoopMonitor
from eddy_gateway.core.models import Id
from eddy_gateway.shell.item_store import ItemStore

STATIC = Path(__file__).with_name("static")


@dataclass(frozen=True, slots=True)
class Console:
    """The sources of the console's data."""

    scenarios: Scenarios
    item_store: ItemStore
    monitor: LoopMonitor


def add_console(app: FastAPI, console: Console) -> None:
    """Add the page at `/`, and its files and data below `/console`. None of them is part of the API."""

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/console/scenarios", include_in_schema=False)
    async def scenarios() -> list[dict[str, Any]]:
        """The scenarios with their actions, strongest last, and the range of each action's values."""
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
        ]

    @app.get("/console/items", include_in_schema=False)
    async def items(item_id: Annotated[list[Id], Query(max_length=MAX_SLATE)]) -> dict[str, Any]:
        return {"items": console.item_store.titles(item_id)}

    @app.get("/console/loop", include_in_schema=False)
    async def loop() -> EventSourceResponse:
        """Server-sent events, each a list of points (LoopPoint)."""

        async def events() -> AsyncIterator[dict[str, str]]:
            async for points in console.monitor.watch():
                yield {"data": json.dumps(points)}

        return EventSourceResponse(events())

    app.mount("/console", StaticFiles(directory=STATIC), name="console")
