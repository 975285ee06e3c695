"""The runtime of every service process: health endpoints, signals, exit codes."""

import asyncio
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
import uvicorn
import uvloop
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from eddy.errors import ConfigError, FatalError
from eddy.http import HttpLimits, Shed, http_config
from eddy.kafka.permissions import PERMISSION_ERRORS, describe_denial
from eddy.logs import configure_logging
from eddy.settings import Settings, load

log = structlog.get_logger()

S = TypeVar("S", bound=Settings)

STALLED_AFTER_SEC = 30.0


@dataclass
class Health:
    """Liveness and readiness of a service.

    Liveness is progress: call `beat()` in every iteration of the main loop. Set `ready` once the state is recovered. /readyz also returns
    `details`, for people.
    """

    stalled_after_sec: float = STALLED_AFTER_SEC
    ready: bool = False
    details: dict[str, object] = field(default_factory=dict)
    _last_beat: float = field(default_factory=time.monotonic)

    def beat(self) -> None:
        self._last_beat = time.monotonic()

    def seconds_since_beat(self) -> float:
        return time.monotonic() - self._last_beat

    @property
    def alive(self) -> bool:
        return self.seconds_since_beat() < self.stalled_after_sec

    def routes(self) -> list[Route]:
        """/healthz, /readyz and /metrics."""
        return [Route("/healthz", self._healthz), Route("/readyz", self._readyz), Route("/metrics", self._metrics)]

    async def _healthz(self, _: Request) -> Response:
        body = {"alive": self.alive, "seconds_since_progress": round(self.seconds_since_beat(), 3)}
        return JSONResponse(body, 200 if self.alive else 503)

    async def _readyz(self, _: Request) -> Response:
        return JSONResponse({"ready": self.ready, **self.details}, 200 if self.ready else 503)

    async def _metrics(self, _: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: `run_service` owns the signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve_http(
    app: ASGIApp,
    host: str,
    port: int,
    on_listening: Callable[[int], None] = lambda _: None,
    limits: HttpLimits = HttpLimits(),  # noqa: B008  # frozen
    on_refused: Callable[[str], None] = lambda _: None,
    shed: Shed | None = None,
) -> None:
    """Serve until cancelled; port 0 lets the system choose the port, which `on_listening` gets. Raises FatalError for a port in use.

    `on_refused(reason)` is called for each connection that is refused, or closed, by one of `limits`; `shed` is that of `http_config`.
    """
    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        raise FatalError(
            f"cannot listen on {host}:{port} ({error.strerror}): free the port or choose another one"
        ) from error
    on_listening(listener.getsockname()[1])
    server = _Server(http_config(app, limits, on_refused, shed))
    try:
        await server.serve(sockets=[listener])
    finally:
        if server.started:
            await server.shutdown(sockets=[listener])
        listener.close()


async def serve_health(health: Health, host: str, port: int) -> None:
    """Serve the health endpoints until cancelled."""
    await serve_http(Starlette(routes=health.routes()), host, port)


def run_service(service: str, settings: type[S], main: Callable[[S, Health], Awaitable[None]]) -> None:
    """Run a service until it ends, SIGINT or SIGTERM comes, or it fails; then exit.

    Exit code 0 after a signal, 1 with one line on stderr for ConfigError, FatalError and a permission that Kafka denies (also inside
    an exception group), the traceback for what nobody foresaw.
    """
    try:
        loaded = load(settings)
        configure_logging(loaded.log_level, service)
        uvloop.run(_until_signal(main(loaded, Health())))
    except* (ConfigError, FatalError) as group:
        print(f"{service}: {_first(group)}", file=sys.stderr, flush=True)
        sys.exit(1)
    except* PERMISSION_ERRORS as group:
        print(f"{service}: {describe_denial(_first(group))}", file=sys.stderr, flush=True)
        sys.exit(1)


async def _until_signal(work: Awaitable[None]) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        log.info("stopped_by_signal")


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
