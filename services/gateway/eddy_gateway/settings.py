"""EDDY_GATEWAY_*: settings of the gateway alone."""

from pydantic import Field

from eddy.contract.limits import MAX_BATCH_EVENTS
from eddy.settings import Settings


class GatewaySettings(Settings):
    """Settings of the gateway."""

    gateway_http_port: int = Field(8000, ge=0, le=65535, description="Port of the API, /healthz, /readyz and /metrics.")
    gateway_deadline_sec: float = Field(
        2.0,
        gt=0,
        le=60,
        description="Seconds that a request waits for `after_offset`; then it is answered without that event.",
    )
    gateway_grace_sec: float = Field(
        1.0, gt=0, le=60, description="Seconds that the gateway waits beyond the deadline before it answers 504."
    )
    gateway_publish_timeout_sec: float = Field(
        5.0,
        gt=0,
        le=60,
        description="Seconds within which Kafka must acknowledge a write; otherwise the answer is 503.",
    )
    gateway_api_keys: str = Field(
        "",
        description="Accepted API keys, comma separated. Empty disables authentication and is allowed only on a loopback address.",
    )
    gateway_reached_by: str = Field(
        "",
        description="Address at which callers reach the gateway, if it differs from EDDY_HTTP_HOST. Used only to decide whether "
        "API keys are required.",
    )
    gateway_rate_limit: str = Field(
        "2000/second",
        description="Rate limit per API key, or per address if there are no keys. Empty disables it.",
    )
    gateway_max_body_bytes: int = Field(
        4 * 2**20, ge=1024, description="Maximum size of a request body in bytes; a larger one is answered with 413."
    )
    gateway_console: bool = Field(True, description="Whether to serve the live console at /.")
    gateway_max_batch: int = Field(1000, ge=1, le=MAX_BATCH_EVENTS, description="Maximum events in one POST.")
