"""Access to the gateway: API keys, rate limits and body sizes, checked before routing."""

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

# Open without a key: the console page and its files, the API reference and the health endpoints contain no user data.
_OPEN_PATHS = ("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/")
_STATIC = (".css", ".js")
COOKIE = "eddy_key"
RETRY_SEC = 1


class AccessMiddleware:
    """ASGI middleware. Answers 401 without a valid key, 413 for a body that is too large, 429 above the rate limit, 503 until ready.

    The key is in `Authorization: Bearer`, `X-API-Key`, or, for the console, a cookie. Empty `keys` disables authentication; `rate`
    None disables rate limiting.
    """

    def __init__(
        self, app: ASGIApp, health: Health, keys: Sequence[str], rate: RateLimitItem | None, max_body_bytes: int
    ) -> None:
        self._app = app
        self._health = health
        self._keys = keys
        self._rate = rate
        self._max_body_bytes = max_body_bytes
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        refusal = await self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        body = _LimitedBody(receive, self._max_body_bytes)

        async def send_unless_exceeded(message: Message) -> None:
            if not body.exceeded:
                await send(message)

        with suppress(_BodyTooLargeError):
            await self._app(scope, body, send_unless_exceeded)
        if body.exceeded:
            await self._body_too_large()(scope, receive, send)

    async def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        key = _key(headers)
        if self._keys and not any(hmac.compare_digest(key.encode(), valid.encode()) for valid in self._keys):
            detail = (
                "the API key is not one of EDDY_GATEWAY_API_KEYS"
                if key
                else "Send an API key as `Authorization: Bearer` or `X-API-Key`."
            )
            return _response(401, detail, {"WWW-Authenticate": "Bearer"})
        if not self._health.ready:
            return _response(503, "not ready yet: try again", {"Retry-After": str(RETRY_SEC)})
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > self._max_body_bytes:
            return self._body_too_large()
        if self._rate is not None:
            # Without authentication, a key identifies nobody: limit by address.
            client = key if self._keys else (scope["client"] or ("",))[0]
            if not await self._limiter.hit(self._rate, client):
                reset_at, _ = await self._limiter.get_window_stats(self._rate, client)
                retry_sec = max(1, math.ceil(reset_at - time.time()))
                return _response(
                    429,
                    f"Rate limit of {self._rate} exceeded. Retry after {retry_sec} s.",
                    {"Retry-After": str(retry_sec)},
                )
        return None

    def _body_too_large(self) -> JSONResponse:
        return _response(413, f"The body is larger than {self._max_body_bytes} bytes. Split or shorten the request.")


def configured_keys(settings: GatewaySettings) -> Sequence[str]:
    """The accepted API keys; empty disables authentication. Raises ConfigError if empty on an address that other machines can reach."""
    keys = [key for key in (part.strip() for part in settings.gateway_api_keys.split(",")) if key]
    reached_by = settings.gateway_reached_by or settings.http_host
    if not keys and not _is_loopback(reached_by):
        raise ConfigError(
            f"EDDY_GATEWAY_API_KEYS is empty, but other machines can reach {reached_by}: set a key, or listen on 127.0.0.1"
        )
    return keys


def configured_rate(settings: GatewaySettings) -> RateLimitItem | None:
    """The rate limit per key, or per address without keys; None disables it. Raises ConfigError for an invalid rate."""
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
    return path in _OPEN_PATHS or (path.startswith("/console/") and path.endswith(_STATIC))


def _key(headers: Headers) -> str:
    """The API key of a request, empty if there is none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    if "x-api-key" in headers:
        return headers["x-api-key"]
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return unquote(cookie.value) if cookie else ""


def _response(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, headers)


class _BodyTooLargeError(Exception):
    """A body with a missing or wrong content length exceeded the maximum."""


class _LimitedBody:
    """Receives at most `maximum` bytes; raises _BodyTooLargeError beyond, and sets `exceeded`."""

    def __init__(self, receive: Receive, maximum: int) -> None:
        self._receive = receive
        self._remaining = maximum
        self.exceeded = False

    async def __call__(self) -> Message:
        message = await self._receive()
        self._remaining -= len(message.get("body", b""))
        if self._remaining < 0:
            self.exceeded = True
            raise _BodyTooLargeError  # the middleware replaces the response that this leads to
        return message
