"""Who may come in, how often, and with how much: keys, rates and sizes, before any route is looked for."""

import hmac
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from urllib.parse import unquote

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eddy.errors import ConfigError
from eddy.runtime import Health
from eddy_gateway.settings import GatewaySettings

# The page and its files, the API's description and the health endpoints say nothing of anybody.
_OPEN = ("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/")
_STATIC = (".css", ".js")
COOKIE = "eddy_key"
RETRY_SEC = 1


class Door:
    """ASGI middleware: 401 without a key, 413 for too much, 429 for too often, 503 until the gateway is ready, each with what to do.

    A key comes as `Authorization: Bearer`, as `X-API-Key`, or as a cookie, which is what the console has. No `keys` let everybody in, no
    `rate` holds nobody up.
    """

    def __init__(
        self, app: ASGIApp, health: Health, keys: Sequence[str], rate: RateLimitItem | None, max_body: int
    ) -> None:
        self._app = app
        self._health = health
        self._keys = keys
        self._rate = rate
        self._max_body = max_body
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        refusal = await self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        body = _Limited(receive, self._max_body)

        async def passed(message: Message) -> None:
            if not body.exceeded:
                await send(message)

        with suppress(_TooMuchError):
            await self._app(scope, body, passed)
        if body.exceeded:
            await self._too_much()(scope, receive, send)

    async def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        key = _key(headers)
        if self._keys and not any(hmac.compare_digest(key.encode(), known.encode()) for known in self._keys):
            said = "the API key is not one of EDDY_GATEWAY_API_KEYS" if key else "send an API key as X-API-Key"
            return _answer(401, said, {"WWW-Authenticate": "Bearer"})
        if not self._health.ready:
            return _answer(503, "not ready yet: try again", {"Retry-After": str(RETRY_SEC)})
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > self._max_body:
            return self._too_much()
        if self._rate is not None:
            # Where any key will do, a key says nothing of who it is.
            client = key if self._keys else (scope["client"] or ("",))[0]
            if not await self._limiter.hit(self._rate, client):
                reset_at, _ = await self._limiter.get_window_stats(self._rate, client)
                wait = max(1, math.ceil(reset_at - time.time()))
                return _answer(429, f"more than {self._rate}: slow down", {"Retry-After": str(wait)})
        return None

    def _too_much(self) -> JSONResponse:
        return _answer(413, f"the body is larger than {self._max_body} bytes: send fewer events at once")


def keys_of(settings: GatewaySettings) -> Sequence[str]:
    """The keys that open the door; none leaves it open. Raises ConfigError where that must not be."""
    keys = [key for key in (each.strip() for each in settings.gateway_api_keys.split(",")) if key]
    reached_by = settings.gateway_reached_by or settings.http_host
    if not keys and not _is_loopback(reached_by):
        raise ConfigError(
            f"EDDY_GATEWAY_API_KEYS is empty, but other machines can reach {reached_by}: set a key, or listen on 127.0.0.1"
        )
    return keys


def rate_of(settings: GatewaySettings) -> RateLimitItem | None:
    """The rate that each key, or each address where there are none, is held to. Raises ConfigError for what is no rate."""
    if not settings.gateway_rate_limit:
        return None
    try:
        return parse(settings.gateway_rate_limit)
    except ValueError as error:
        raise ConfigError(
            f"EDDY_GATEWAY_RATE_LIMIT: {settings.gateway_rate_limit!r} is not a rate. Use a form like 500/second."
        ) from error


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _is_open(path: str) -> bool:
    return path in _OPEN or (path.startswith("/console/") and path.endswith(_STATIC))


def _key(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    if "x-api-key" in headers:
        return headers["x-api-key"]
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return unquote(found.value) if found else ""


def _answer(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, headers)


class _TooMuchError(Exception):
    """A body without a length, or with a wrong one, went on for too long."""


class _Limited:
    """Receives at most so many bytes."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._left = most
        self.exceeded = False

    async def __call__(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            self.exceeded = True
            raise _TooMuchError  # whatever answer that leads to is replaced
        return message
