"""Counts and times every HTTP request, by route."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eddy.metrics import HTTP_REQUESTS, HTTP_SECONDS

_NO_ROUTE = "none"


def count_unrouted(status: int) -> None:
    """Count a request that was answered before it reached the application."""
    HTTP_REQUESTS.labels(_NO_ROUTE, str(status)).inc()


class Metering:
    """ASGI middleware. The label `route` is the pattern of the route, not the path, so that it has few values."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def send_and_note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note_status)
        finally:
            route = getattr(scope.get("route"), "path_format", _NO_ROUTE)
            HTTP_REQUESTS.labels(route, str(status)).inc()
            HTTP_SECONDS.labels(route).observe(time.perf_counter() - started)
