"""Refusals: JSON with what is wrong and what to do, counted by reason."""

import math

from starlette.responses import JSONResponse

from eddy.metrics import REFUSED_REQUESTS

RETRY_SEC = 1


def refuse(
    status: int,
    reason: str,
    detail: object,
    *,
    key: str = "none",
    retry_sec: float = 0.0,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """The answer to a request that is not carried out; `key` is the name of its API key. With `retry_sec`, a Retry-After in seconds."""
    REFUSED_REQUESTS.labels(key, reason).inc()
    retry = {"Retry-After": str(max(1, math.ceil(retry_sec)))} if retry_sec else {}
    return JSONResponse({"detail": detail}, status, {**retry, **(headers or {})})
