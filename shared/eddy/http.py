"""The HTTP server of every service: uvicorn, with bounds on what a client may hold open.

uvicorn bounds the idle time between two requests, but neither the time until a request is complete nor that of a reader that does not read.
"""

import asyncio
import json
import re
import resource
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from eddy.shares import FairShares

MAX_HEADER_BYTES = 64 * 1024
# After a refusal, what the client still sends is read for that long: closing at once could reset the connection before it has the answer.
_LINGER_SEC = 1.0
# File descriptors that are left for Kafka, logs and the like.
_OTHER_FILES = 128
_REASONS = {
    400: "Bad Request",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Bounds of a server. An address may hold half of the connections, two addresses a third each, and so on (FairShares); a further one
    replaces its oldest one that is slow or idle.

    `header_sec` and `body_sec` are the times within which headers and body of a request must be complete, and `body_sec` also that within
    which a client must read; `idle_sec` is the time between two requests. Behind `trusted_proxies` (addresses, comma separated), the
    address of a caller and the scheme are those that the proxy reports.
    """

    header_sec: float = 10.0
    body_sec: float = 30.0
    idle_sec: float = 5.0
    connections: int = 1000
    trusted_proxies: str = ""


# Called with the address of a client and what it sent, where a request begins: the whole answer, or None for the application to answer.
Shed = Callable[[str, bytes], bytes | None]


def http_config(
    app: ASGIApp, limits: HttpLimits, on_refused: Callable[[str], None], shed: Shed | None = None
) -> uvicorn.Config:
    """The configuration of a server; `on_refused(reason)` is called for each connection that is refused or closed by a bound.

    `shed` answers what is refused in an overload, before it costs anything: to parse a request takes longer than all the rest of a refusal.
    """
    connections = _Connections(min(limits.connections, _available_files()))
    return uvicorn.Config(
        app,
        http=partial(BoundedProtocol, limits, connections, on_refused, shed),  # type: ignore[arg-type]  # called like the class
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=5,
        timeout_keep_alive=limits.idle_sec,  # type: ignore[arg-type]  # passed to loop.call_later
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        proxy_headers=bool(limits.trusted_proxies),
        forwarded_allow_ips=limits.trusted_proxies,
    )


_GET = re.compile(rb"GET (/[!-~]*) HTTP/1\.1\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\r\n)*)\r\n")
_NOT_PLAIN = frozenset((b"content-length", b"transfer-encoding", b"upgrade", b"expect"))


def plain_get(data: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]] | None:
    """Target and headers of a request, if `data` is exactly one GET without a body on a connection that stays open; otherwise None."""
    match = _GET.fullmatch(data) if len(data) <= MAX_HEADER_BYTES else None
    if match is None:
        return None
    headers = []
    for line in match[2].split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip()
        if name in _NOT_PLAIN or (name == b"connection" and value.lower() != b"keep-alive"):
            return None
        headers.append((name, value))
    return match[1], headers


def _available_files() -> int:
    """The number of connections for which there are file descriptors, after raising the limit as far as allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return max(16, soft - _OTHER_FILES)


class _Connections:
    """The open connections of a server, and by address those that wait for their client, oldest first."""

    def __init__(self, maximum: int) -> None:
        self._shares = FairShares(maximum)
        self._waiting: dict[str, OrderedDict[BoundedProtocol, None]] = {}

    def open(self, address: str) -> bool:
        """Whether an address may have another connection. If need be, it loses one that waits for it, slow or idle."""
        if self._shares.take(address):
            return True
        waiting = self._waiting.get(address)
        if not waiting:
            return False
        next(iter(waiting)).evict()
        return self._shares.take(address)

    def closed(self, address: str) -> None:
        """A connection was closed."""
        self._shares.give_back(address)

    def set_waiting(self, address: str, connection: "BoundedProtocol", waits: bool) -> None:
        """Note whether a connection waits for its client."""
        if waits:
            self._waiting.setdefault(address, OrderedDict()).setdefault(connection)
        elif connections := self._waiting.get(address):
            connections.pop(connection, None)
            if not connections:
                del self._waiting[address]


class BoundedProtocol(H11Protocol):
    """One connection. Answers 408 and closes when a request is not complete in time, 503 when there are too many connections."""

    def __init__(
        self,
        limits: HttpLimits,
        connections: _Connections,
        on_refused: Callable[[str], None],
        shed: Shed | None,
        *args: Any,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._limits = limits
        self._all = connections
        self._on_refused = on_refused
        self._shed = shed
        self._address: str | None = None
        self._phase = ""
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if not self._all.open(address):
            self._refuse(503, "connections", "Too many connections are open. Close idle ones, and retry after 1 s.")
            return
        self._address = address
        self._enter("header")

    def connection_lost(self, exc: Exception | None) -> None:
        self._enter("")
        self._stop_write_timer()
        self._leave()
        super().connection_lost(exc)

    def evict(self) -> None:
        """Close, to make room for another connection of the address."""
        self._on_refused("evicted")
        self._enter("")
        self._leave()
        self.transport.abort()

    def _leave(self) -> None:
        if self._address is not None:
            self._all.set_waiting(self._address, self, False)
            self._all.closed(self._address)
            self._address = None

    def data_received(self, data: bytes) -> None:
        if self._phase == "refused" or self.transport.is_closing():
            return
        if self._shed is not None and self._begins_request() and (answer := self._shed(self._address or "", data)):
            self._answer_unparsed(answer)
            return
        super().data_received(data)
        self._follow()

    def _begins_request(self) -> bool:
        """Whether what comes next is the beginning of a request, of a client that reads its answers."""
        return self._phase in ("header", "idle") and not self.conn.trailing_data[0] and not self.flow.write_paused

    def _answer_unparsed(self, answer: bytes) -> None:
        """Answer a request that the parser did not see, and wait for the next one."""
        self._unset_keepalive_if_required()
        self.transport.write(answer)
        self.server_state.total_requests += 1
        self._enter("")  # so that it is the youngest of the idle ones
        self._enter("idle")
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._follow()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stop_write_timer()
        self._write_timer = self.loop.call_later(self._limits.body_sec, self._abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_write_timer()

    def send_400_response(self, msg: str) -> None:
        """Answer in JSON, as all refusals. uvicorn does not tell whether the headers were too large."""
        if len(self.conn.trailing_data[0]) >= MAX_HEADER_BYTES:
            detail = f"The headers and the URL are larger than {MAX_HEADER_BYTES} bytes. Shorten the URL."
            self._refuse(431, "header_too_large", detail)
        else:
            self._refuse(400, "bad_request", "This is not valid HTTP/1.1. Check method, URL, headers and body framing.")

    def _follow(self) -> None:
        """Start and stop the timer of the part of a request that is expected."""
        if self._phase == "refused":
            return
        if self.transport.is_closing():
            self._enter("")
        elif self.conn.their_state is h11.SEND_BODY:
            self._enter("body")
        elif self.conn.their_state is h11.IDLE and (self.conn.trailing_data[0] or self.cycle is None):
            self._enter("header")
        elif self.conn.their_state is h11.IDLE:
            self._enter("idle")
        else:
            self._enter("")

    def _enter(self, phase: str) -> None:
        if phase == self._phase:
            return
        self._phase = phase
        if self._address is not None:
            self._all.set_waiting(self._address, self, phase in ("header", "body", "idle"))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if phase == "refused":
            self._timer = self.loop.call_later(_LINGER_SEC, self.transport.abort)
        elif phase in ("header", "body"):
            seconds = self._limits.header_sec if phase == "header" else self._limits.body_sec
            self._timer = self.loop.call_later(seconds, self._time_out, seconds)

    def _time_out(self, seconds: float) -> None:
        phase, self._timer = self._phase, None
        started = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        nothing_sent = phase == "header" and not self.conn.trailing_data[0]
        if started or nothing_sent:
            self._on_refused(f"{phase}_timeout")
            self.transport.close()
        else:
            detail = f"The {phase} of the request was not complete within {seconds:g} s. Send it again, faster."
            self._refuse(408, f"{phase}_timeout", detail)

    def _refuse(self, status: int, reason: str, detail: str) -> None:
        """Answer outside of the application, and close."""
        self._on_refused(reason)
        if self.cycle is not None and not self.cycle.response_complete:
            # The application learns that its client has gone, and what it still sends is dropped.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        body = json.dumps({"detail": detail}).encode()
        retry = "Retry-After: 1\r\n" if status == 503 else ""
        head = (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        )
        self.transport.write(f"{head}{retry}Connection: close\r\n\r\n".encode() + body)
        self.transport.write_eof()
        self._enter("refused")

    def _abort(self) -> None:
        self._on_refused("write_timeout")
        self.transport.abort()

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
