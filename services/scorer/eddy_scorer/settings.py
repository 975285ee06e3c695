"""EDDY_SCORER_*: settings of the scorer alone."""

from pydantic import Field

from eddy.contract.limits import MAX_SLATE
from eddy.settings import Settings


class ScorerSettings(Settings):
    """Settings of the scorer."""

    scorer_http_port: int = Field(8002, ge=0, le=65535, description="Port of /healthz, /readyz and /metrics.")
    scorer_group: str = Field("scorer", min_length=1, description="Consumer group on recommendation-requests.")
    scorer_instance_id: str | None = Field(
        None,
        description="Static member id in the consumer group, unique per process. A process that restarts with its id gets its partitions "
        "back at once.",
    )
    scorer_session_timeout_sec: float = Field(
        10.0, ge=6.0, description="Seconds until a dead process's partitions are reassigned; the broker's minimum is 6."
    )
    scorer_max_batch: int = Field(64, ge=1, le=1024, description="Maximum requests per batch.")
    scorer_max_wait_ms: int = Field(
        1000,
        ge=0,
        description="Milliseconds that a request with after_offset and no deadline waits for its user's features.",
    )
    scorer_push_limit: int = Field(20, ge=1, le=MAX_SLATE, description="Items in a pushed slate.")
    scorer_approximate_from: int = Field(
        250_000,
        ge=0,
        description="Catalogue size from which the encoder's candidates come from an approximate index; 0 disables the index.",
    )
    scorer_seed: int | None = Field(
        None, description="Random seed of the exploration slots; a different one at each start if not set."
    )
