"""EDDY_GATEWAY_*: settings of the gateway alone."""

from pathlib import Path

from pydantic import Field, field_validator

from eddy.contract.limits import MAX_BATCH_EVENTS
from eddy.http import HttpLimits
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
    gateway_keys_file: Path | None = Field(
        None,
        description="YAML file of API keys with names, scopes and tenants, as hashes; `eddy api-keys add` writes it. Changes are adopted "
        "within a second.",
    )
    gateway_api_keys: str = Field(
        "",
        description="Further API keys with all scopes, comma separated. Without any key, authentication is disabled, which is allowed "
        "only on a loopback address.",
    )
    gateway_allowed_hosts: str = Field(
        "",
        description="Host names by which callers may reach a gateway without API keys, comma separated, beside loopback names.",
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
    gateway_header_timeout_sec: float = Field(
        10.0, gt=0, le=600, description="Seconds within which the headers of a request must be complete."
    )
    gateway_body_timeout_sec: float = Field(
        30.0,
        gt=0,
        le=600,
        description="Seconds within which the body of a request must be complete, and within which a caller must read its answer.",
    )
    gateway_idle_timeout_sec: float = Field(
        5.0, gt=0, le=3600, description="Seconds after which a connection without a request is closed."
    )
    gateway_max_connections: int = Field(
        2000, ge=16, description="Maximum open connections; one address may hold half of them."
    )
    gateway_max_streams: int = Field(
        64, ge=2, description="Maximum open event streams of consoles; one caller may hold half of them."
    )
    gateway_trusted_proxies: str = Field(
        "",
        description="Addresses of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are believed, comma separated.",
    )
    gateway_latency_target_sec: float = Field(
        0.5,
        gt=0,
        le=60,
        description="Seconds within which requests should be answered. What would take longer is refused at once with 429 or 503.",
    )
    gateway_max_pending_bytes: int = Field(
        64 * 2**20,
        ge=2**20,
        description="Maximum bytes of events and items that are under way to Kafka; above it, the answer is 429 or 503.",
    )
    gateway_console: bool = Field(True, description="Whether to serve the live console at /.")
    gateway_max_batch: int = Field(1000, ge=1, le=MAX_BATCH_EVENTS, description="Maximum events in one POST.")

    @field_validator("gateway_keys_file", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return value or None

    @property
    def http_limits(self) -> HttpLimits:
        """The bounds of the server."""
        return HttpLimits(
            self.gateway_header_timeout_sec,
            self.gateway_body_timeout_sec,
            self.gateway_idle_timeout_sec,
            self.gateway_max_connections,
            self.gateway_trusted_proxies,
        )
