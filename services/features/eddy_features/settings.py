"""EDDY_FEATURES_*: what the features service alone needs to know."""

from pydantic import Field

from eddy.settings import Settings


class FeaturesSettings(Settings):
    """Settings of the features service."""

    features_http_port: int = Field(8001, ge=0, le=65535, description="Port of /healthz, /readyz and /metrics.")
    features_instance_id: str | None = Field(
        None,
        description="Static member id in the consumer group, one per worker: a worker that restarts under its id takes over at once.",
    )
    features_session_timeout_sec: float = Field(
        10.0, ge=6.0, description="A dead worker's partitions move on after this long; the broker's minimum is 6 s."
    )
    features_commit_interval_sec: float = Field(
        0.5, gt=0, description="How often finished batches are committed. State is exact at any value."
    )
    features_batch_events: int = Field(1000, ge=1, description="Most records taken in one batch.")
    features_recovery_stall_sec: float = Field(
        90.0, gt=0, description="The process gives up when recovery makes no progress for this long."
    )
    features_decoded_users: int = Field(2000, ge=1, description="Users whose state is kept decoded.")
    features_decoded_items: int = Field(4000, ge=1, description="Items whose state is kept decoded.")
