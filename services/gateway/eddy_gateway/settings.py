"""EDDY_GATEWAY_*: what the gateway alone needs to know."""

from pydantic import Field

from eddy.settings import Settings


class GatewaySettings(Settings):
    """Settings of the gateway."""

    gateway_http_port: int = Field(8000, ge=0, le=65535, description="Port of the API, /healthz, /readyz and /metrics.")
    gateway_deadline_sec: float = Field(
        2.0,
        gt=0,
        le=60,
        description="A list that waits for the user's last event is answered without it after this long.",
    )
    gateway_grace_sec: float = Field(
        1.0, gt=0, le=60, description="How much longer than the deadline the gateway waits before it answers 504."
    )
    gateway_publish_timeout_sec: float = Field(
        5.0, gt=0, le=60, description="Kafka must acknowledge within this time, or the answer is 503."
    )
    gateway_api_keys: str = Field(
        "", description="Keys that callers need one of, comma separated; none only on loopback."
    )
    gateway_reached_by: str = Field(
        "", description="Address that others reach it by, where that is not the one it listens on: in a container, say."
    )
    gateway_rate_limit: str = Field(
        "2000/second",
        description="Requests of each key, or of each address where there are no keys; empty is no limit.",
    )
    gateway_max_body_bytes: int = Field(4 * 2**20, ge=1024, description="A larger body is refused with 413.")
    gateway_console: bool = Field(True, description="Serve the live console at /: it reads items and releases.")
    gateway_max_batch: int = Field(1000, ge=1, le=10_000, description="Events in one POST.")
