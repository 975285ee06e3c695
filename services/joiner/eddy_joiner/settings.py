"""EDDY_JOINER_*: what the joiner alone needs to know."""

from pydantic import Field

from eddy.settings import Settings


class JoinerSettings(Settings):
    """Settings of the joiner."""

    joiner_http_port: int = Field(8003, ge=0, le=65535, description="Port of /healthz, /readyz and /metrics.")
    joiner_group: str = Field(
        "joiner", min_length=1, description="Consumer group, and the first part of the transactional ids."
    )
    joiner_instance_id: str | None = Field(
        None,
        description="Static member id in the group, one per instance: one that restarts under its id takes over at once. "
        "Host name and HTTP port when not set.",
    )
    joiner_session_timeout_sec: float = Field(
        10.0, ge=6.0, description="A dead instance's partitions move on after this long; the broker's minimum is 6 s."
    )
    joiner_batch_events: int = Field(1000, ge=1, description="Most user events in one transaction.")
    joiner_transaction_interval_sec: float = Field(
        0.25,
        ge=0,
        description="Least time between the starts of a partition's transactions, five round trips each. The first event after a "
        "pause does not wait.",
    )
    joiner_lateness_sec: float = Field(
        0.0,
        ge=0,
        description="How much longer than its window a list can still be shown, for logs whose users are out of step.",
    )
    joiner_idle_commit_sec: float = Field(
        5.0, gt=0, description="How often an idle partition's watermark is committed while items are open."
    )
