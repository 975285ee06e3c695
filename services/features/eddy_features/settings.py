"""Settings of the features service (EDDY_FEATURES_*)."""

from pydantic import Field

from eddy.settings import Settings


class FeaturesSettings(Settings):
    """Settings of the features service."""

    features_http_port: int = Field(8001, ge=0, le=65535, description="Port of /healthz, /readyz and /metrics.")
    features_instance_id: str | None = Field(
        None,
        description="Static member id in the consumer group, unique per worker. A worker that restarts with its id gets its partitions "
        "back at once.",
    )
    features_session_timeout_sec: float = Field(
        10.0, ge=6.0, description="Seconds until a dead worker's partitions are reassigned; the broker's minimum is 6."
    )
    features_commit_interval_sec: float = Field(
        0.5, gt=0, description="Seconds between two commits of finished batches. State is exact at any value."
    )
    features_batch_events: int = Field(1000, ge=1, description="Maximum records per batch.")
    features_recovery_stall_sec: float = Field(
        90.0, gt=0, description="Seconds without progress after which a recovery fails and the process exits."
    )
    features_decoded_users: int = Field(
        2000, ge=1, description="Number of users whose state is cached in decoded form."
    )
    features_decoded_items: int = Field(
        4000, ge=1, description="Number of items whose state is cached in decoded form."
    )
    features_seen_items: int = Field(
        4000,
        ge=100,
        description="Number of items per user that are remembered as seen, the last ones by event time; each takes 14 bytes.",
    )
    features_slates_sec: float = Field(
        3600.0, gt=0, description="Seconds after a slate was served in which its impressions count for its items."
    )
