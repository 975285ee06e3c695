"""Load control: refuses what cannot be answered in time, before it costs anything, and keeps callers from crowding out each other."""

from collections.abc import Awaitable, Callable

from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from eddy.metrics import ADMISSION_LIMIT, ADMITTED, REFUSED_REQUESTS
from eddy_gateway.core.admission import Admission, Work
from eddy_gateway.core.keys import Key
from eddy_gateway.settings import GatewaySettings
from eddy_gateway.shell.refusals import RETRY_SEC, refuse

READS, WRITES = "reads", "writes"
CALLER_SHARE, OVERLOADED = "caller_share", "overloaded"
# Requests that wait for an answer. The minimum is two full batches of a scorer: less would lower its throughput more than its delay.
_MIN_READS, _MAX_READS = 128, 4096
# A caller may hold that many times what is free: alone four fifths of the limit, with which it uses nearly all of the capacity.
_READS_FACTOR = 4.0
# Bytes of bodies that are checked, or under way to Kafka.
_MIN_BYTES, _FIRST_BYTES = 256 * 1024, 4 * 2**20
# What a request costs beside its body, as bytes.
_REQUEST_BYTES = 1024

App = Callable[[Scope, Receive, Send], Awaitable[None]]


class LoadControl:
    """Admits requests to the API: reads by number, writes by bytes. Everything else passes at once."""

    def __init__(self, settings: GatewaySettings) -> None:
        for reason in (CALLER_SHARE, OVERLOADED):  # from 0 on: a rate needs two samples
            REFUSED_REQUESTS.labels("none", reason)
        target_sec = settings.gateway_latency_target_sec
        self._max_body_bytes = settings.gateway_max_body_bytes
        self._admissions = {
            READS: Admission(_MIN_READS, _MIN_READS, _MAX_READS, target_sec, share_factor=_READS_FACTOR),
            WRITES: Admission(_FIRST_BYTES, _MIN_BYTES, settings.gateway_max_pending_bytes, target_sec),
        }

    async def run(self, scope: Scope, receive: Receive, send: Send, caller: str, app: App) -> None:
        """Run `app` for an admitted request, and answer 503 or 429 otherwise."""
        if not scope["path"].startswith("/v1/"):
            await app(scope, receive, send)
            return
        kind, amount = self._cost(scope)
        admission = self._admissions[kind]
        work = await admission.wait(caller, amount, timed=_is_timed(scope))
        if work is None:
            await _overloaded(scope["eddy.caller"], admission.is_heavy(caller))(scope, receive, send)
            return
        await _Admitted(kind, admission, work).run(scope, receive, send, app)

    @property
    def crowded(self) -> bool:
        """Whether reads were refused just now."""
        return self._admissions[READS].crowded

    def refusal_of_read(self, caller: str, key: Key) -> JSONResponse | None:
        """The refusal of a read of a caller, if it could neither be admitted nor wait."""
        admission = self._admissions[READS]
        return _overloaded(key, admission.is_heavy(caller)) if admission.refuses(caller) else None

    def _cost(self, scope: Scope) -> tuple[str, float]:
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return READS, 1.0
        length = dict(scope["headers"]).get(b"content-length", b"")
        # A body without a length may have any.
        return WRITES, _REQUEST_BYTES + (int(length) if length.isdigit() else self._max_body_bytes)


def _is_timed(scope: Scope) -> bool:
    """Whether the time of a request tells how busy the services are. With `after_offset` it also waits for the features of its user."""
    if scope["method"] in ("POST", "PUT"):
        return True
    return scope["path"].startswith("/v1/recommendations/") and b"after_offset=" not in scope["query_string"]


class _Admitted:
    """One admitted request, from its admission to the beginning of its answer."""

    def __init__(self, kind: str, admission: Admission, work: Work) -> None:
        self._kind, self._admission, self._work = kind, admission, work
        self._finished = False

    async def run(self, scope: Scope, receive: Receive, send: Send, app: App) -> None:
        async def received() -> Message:
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                self._admission.start(self._work)
            return message

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._finish(message["status"])
            await send(message)

        ADMITTED.labels(self._kind).set(self._admission.in_progress)
        try:
            await app(scope, received, sent)
        finally:
            self._finish(500)

    def _finish(self, status: int) -> None:
        if not self._finished:
            self._finished = True
            self._admission.finish(self._work, True if status < 300 else False if status in (503, 504) else None)
            ADMITTED.labels(self._kind).set(self._admission.in_progress)
            ADMISSION_LIMIT.labels(self._kind).set(self._admission.limit)


def _overloaded(key: Key, heavy: bool) -> JSONResponse:
    if heavy:
        detail = (
            "Too many of your requests are in progress for what can be answered in time. "
            f"Retry after {RETRY_SEC} s, with fewer at once."
        )
        return refuse(429, CALLER_SHARE, detail, key=key.name, retry_sec=RETRY_SEC)
    detail = f"The service is at its capacity. Retry after {RETRY_SEC} s."
    return refuse(503, OVERLOADED, detail, key=key.name, retry_sec=RETRY_SEC)
