"""Refuses reads in an overload before they are parsed, so that a refusal costs a small part of what an answer does."""

from starlette.datastructures import Headers

from eddy.http import plain_get
from eddy.metrics import KEY_REQUESTS
from eddy_gateway.core.keys import ANYBODY, Key
from eddy_gateway.shell.access import Access, name_of, network_of, secret_of
from eddy_gateway.shell.headers import added_headers
from eddy_gateway.shell.load import LoadControl
from eddy_gateway.shell.metering import count_unrouted

_STATUS_LINES = {429: b"HTTP/1.1 429 Too Many Requests\r\n", 503: b"HTTP/1.1 503 Service Unavailable\r\n"}


class Shedding:
    """Answers 429 or 503 to a read that LoadControl would refuse at once, in the same words. Everything else goes to the application.

    Without keys, callers are told apart by their addresses, which only the application knows behind a proxy (`proxied`).
    """

    def __init__(self, access: Access, load: LoadControl, proxied: bool) -> None:
        self._access = access
        self._load = load
        self._proxied = proxied

    def __call__(self, address: str, data: bytes) -> bytes | None:
        """The answer to what a client sent, if it is a read that is refused."""
        if not self._load.crowded or (request := plain_get(data)) is None or not request[0].startswith(b"/v1/"):
            return None
        key = self._key_of(Headers(raw=request[1]))
        refusal = key and self._load.refusal_of_read(name_of(key, network_of(address)), key)
        if not key or not refusal:
            return None
        KEY_REQUESTS.labels(key.name).inc()
        count_unrouted(refusal.status_code)
        headers = [*refusal.raw_headers, *added_headers("/v1/")]
        lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        return _STATUS_LINES[refusal.status_code] + lines + b"\r\n" + bytes(refusal.body)

    def _key_of(self, headers: Headers) -> Key | None:
        """The key of a request, None if the application must tell who its caller is."""
        if not self._access.keys.required:
            return None if self._proxied else ANYBODY
        return self._access.keys.ring.find(secret_of(headers))
