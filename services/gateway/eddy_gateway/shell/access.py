"""Access to the gateway, checked before routing: host, API key, readiness, body size, rate and load."""

import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import lru_cache
from http.cookies import CookieError, SimpleCookie
from ipaddress import IPv6Address, ip_address
from urllib.parse import unquote

from limits import RateLimitItem, parse
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eddy.errors import ConfigError
from eddy.metrics import KEY_REQUESTS
from eddy.runtime import Health
from eddy_gateway.core.keys import ANYBODY, Key
from eddy_gateway.core.rates import RateLimiter
from eddy_gateway.settings import GatewaySettings
from eddy_gateway.shell.key_store import KeyStore, is_loopback
from eddy_gateway.shell.load import LoadControl
from eddy_gateway.shell.refusals import RETRY_SEC, refuse

_HEALTH_PATHS = ("/healthz", "/readyz", "/metrics")
# Open without a key: the console page and its files, and the API reference contain no user data.
_OPEN_PATHS = ("/docs", "/openapi.json", "/", "/console/login", "/console/logout")
_STATIC_PATHS, _STATIC_FILES = ("/console/", "/docs/"), (".css", ".js")
COOKIE = "eddy_key"
# Wrong keys of an address. A right key is accepted meanwhile, so that nobody can lock out others behind the same proxy.
_WRONG_KEYS, _WRONG_KEYS_SEC = 20, 60.0
CALLER = "eddy.caller"


class Access:
    """Who a request is from, and whether it is allowed at all."""

    def __init__(self, settings: GatewaySettings, keys: KeyStore) -> None:
        """Raise ConfigError for an invalid rate limit."""
        self.keys = keys
        self._wrong_keys = RateLimiter(_WRONG_KEYS, _WRONG_KEYS_SEC)
        self._hosts = {name.strip().lower() for name in settings.gateway_allowed_hosts.split(",") if name.strip()}
        self._hosts |= {settings.http_host.lower(), settings.gateway_reached_by.lower()}

    def key_of(self, secret: str, address: str) -> Key | JSONResponse:
        """The key with this secret, or the refusal."""
        if not self.keys.required:
            return ANYBODY
        key = self.keys.ring.find(secret)
        if key is not None:
            return key
        challenge = {"WWW-Authenticate": "Bearer"}
        if not secret:
            detail = "Send an API key as `Authorization: Bearer` or `X-API-Key`."
            return refuse(401, "no_key", detail, headers=challenge)
        if wait_sec := self._wrong_keys.hit(address):
            detail = f"Too many wrong API keys from {address}. Retry after {math.ceil(wait_sec)} s, with a valid key."
            return refuse(429, "wrong_keys", detail, retry_sec=wait_sec)
        detail = (
            "the API key is not valid here. Ask the operator for one (`eddy api-keys add`, or EDDY_GATEWAY_API_KEYS)."
        )
        return refuse(401, "wrong_key", detail, headers=challenge)

    def host_refusal(self, headers: Headers) -> JSONResponse | None:
        """The refusal of a request to a foreign host name, for a gateway without keys.

        A page of another site could otherwise rebind its name to a loopback address, and read the answers (DNS rebinding).
        """
        if self.keys.required:
            return None
        host = _host_name(headers.get("host", ""))
        if is_loopback(host) or host in self._hosts:
            return None
        detail = (
            f"Host is {host[:100]!r}, which is not a name of this machine. Use localhost or 127.0.0.1, add the name to "
            "EDDY_GATEWAY_ALLOWED_HOSTS, or set an API key."
        )
        return refuse(421, "host", detail)


class AccessMiddleware:
    """ASGI middleware. Answers 421 for a foreign host, 401 without a valid key, 503 until ready, 413 for a body that is too large, 429
    above the rate limit, 503 or 429 above what can be answered in time.

    The key is in `Authorization: Bearer`, `X-API-Key`, or, for the console, a cookie. The key of an accepted request is in the scope
    (CALLER).
    """

    def __init__(
        self,
        app: ASGIApp,
        health: Health,
        access: Access,
        load: LoadControl,
        rate: RateLimitItem | None,
        max_body_bytes: int,
    ) -> None:
        self._app = app
        self._health = health
        self._access = access
        self._load = load
        self._rate = rate
        self._limiter = RateLimiter(rate.amount, rate.get_expiry()) if rate else None
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _HEALTH_PATHS:
            await self._app(scope, receive, send)
            return
        headers, path = Headers(scope=scope), scope["path"]
        open_path = path in _OPEN_PATHS or (path.startswith(_STATIC_PATHS) and path.endswith(_STATIC_FILES))
        refusal = self._access.host_refusal(headers)
        key: Key | JSONResponse = ANYBODY
        if refusal is None and not open_path:
            key = self._access.key_of(secret_of(headers), address_of(scope))
            refusal = key if isinstance(key, JSONResponse) else self._not_ready()
        refusal = refusal or self._too_large(headers)
        if refusal is not None or isinstance(key, JSONResponse):
            await (refusal or key)(scope, receive, send)  # type: ignore[operator]  # one of them is set
            return
        scope[CALLER] = key
        caller = caller_name(scope)
        if not open_path:
            KEY_REQUESTS.labels(key.name).inc()
        if refusal := self._too_fast(caller, key):
            await refusal(scope, receive, send)
            return
        await self._load.run(scope, receive, send, caller, self._serve)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = _LimitedBody(receive, self._max_body_bytes)

        async def send_unless_exceeded(message: Message) -> None:
            if not body.exceeded:
                await send(message)

        with suppress(_BodyTooLargeError):
            await self._app(scope, body, send_unless_exceeded)
        if body.exceeded:
            await self._body_too_large()(scope, receive, send)

    def _not_ready(self) -> JSONResponse | None:
        return None if self._health.ready else refuse(503, "not_ready", "not ready yet: try again", retry_sec=RETRY_SEC)

    def _too_large(self, headers: Headers) -> JSONResponse | None:
        length = headers.get("content-length", "0")
        return self._body_too_large() if length.isdigit() and int(length) > self._max_body_bytes else None

    def _too_fast(self, caller: str, key: Key) -> JSONResponse | None:
        wait_sec = self._limiter.hit(caller) if self._limiter else 0.0
        if not wait_sec:
            return None
        detail = f"Rate limit of {self._rate} exceeded. Retry after {max(1, math.ceil(wait_sec))} s."
        return refuse(429, "rate_limit", detail, key=key.name, retry_sec=wait_sec)

    def _body_too_large(self) -> JSONResponse:
        detail = f"The body is larger than {self._max_body_bytes} bytes. Split or shorten the request."
        return refuse(413, "body_too_large", detail)


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


def caller_name(scope: Scope) -> str:
    """What the shares and limits of a caller go by: its key, or its address where no key identifies anybody."""
    return name_of(scope.get(CALLER, ANYBODY), address_of(scope))


def name_of(key: Key, address: str) -> str:
    """As `caller_name`, of a key and the address where it is used."""
    return address if key is ANYBODY else f"key {key.name}"


def address_of(scope: Scope) -> str:
    """The address of a caller, as `network_of`."""
    client = scope.get("client")
    return network_of(client[0] if client else "")


@lru_cache(4096)
def network_of(host: str) -> str:
    """An address. An IPv6 network of 64 bits counts as one, because a single machine can use all of its addresses."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return f"{IPv6Address(int(address) >> 64 << 64)}/64"
    return str(address)


def _host_name(host: str) -> str:
    """The name in a Host header, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def secret_of(headers: Headers) -> str:
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


class _BodyTooLargeError(Exception):
    """A body with a missing or wrong content length exceeded the maximum."""


class _LimitedBody:
    """Receives at most `maximum` bytes; raises _BodyTooLargeError beyond, and sets `exceeded`."""

    def __init__(self, receive: Callable[[], Awaitable[Message]], maximum: int) -> None:
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
