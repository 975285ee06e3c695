"""Headers that keep browsers from misusing what the gateway sends."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# The pages are ours: no inline scripts, nothing from other hosts, no frames.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
_NO_STORE = (b"cache-control", b"no-store")


def added_headers(path: str) -> list[tuple[bytes, bytes]]:
    """The headers of an answer for a path. Answers of the API contain user data, so that nobody may cache them."""
    return [*_HEADERS, _NO_STORE] if path.startswith("/v1/") else _HEADERS


class SecurityHeaders:
    """ASGI middleware that adds `added_headers`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        added = added_headers(scope["path"])

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        await self._app(scope, receive, send_with_headers)
