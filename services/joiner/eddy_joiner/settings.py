"""EDDY_JOINER_*: settings of the joiner alone."""

from pydantic import Field

from eddy.settings import Settings


class JoinerSettings(Settings):
    """Settings of the joiner."""

    joiner_http_port: int = Field(8003, ge=0, le=65535, description="Port of /healthz, /readyz and /metrics.")
    joiner_group: str = Field(
        "joiner", min_length=1, description="Consumer group, and prefix of the transactional ids."
    )
    joiner_instance_id: str | None = Field(
        None,
        description="Static member id in the consumer group, unique per instance; host name and HTTP port if not set. An instance that "
        "restarts with its id gets its partitions back at once.",
    )
    joiner_session_timeout_sec: float = Field(
        10.0,
        ge=6.0,
        description="Seconds until a dead instance's partitions are reassigned; the broker's minimum is 6.",
    )
    joiner_batch_events: int = Field(1000, ge=1, description="Maximum user events per transaction.")
    joiner_transaction_interval_sec: float = Field(
        0.25,
        ge=0,
        description="Minimum seconds between the starts of two transactions of a partition. The first event after a pause does not wait.",
    )
    joiner_lateness_sec: float = Field(
        300.0,
        ge=0,
        description="Extra seconds for which a slate is kept, so that late impressions still match it. Replays of many users need days "
        "(`604800`); `make replay`, `eddy demo` and `eddy exec` set them.",
    )
    joiner_idle_commit_sec: float = Field(
        5.0,
        gt=0,
        description="Seconds between two commits of an idle partition's watermark, while impressions are open.",
    )
