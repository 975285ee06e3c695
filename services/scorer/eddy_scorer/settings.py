"""EDDY_SCORER_*: what the scorer alone needs to know."""

from pydantic import Field

from eddy.settings import Settings


class ScorerSettings(Settings):
    """Settings of the scorer."""

    scorer_http_port: int = Field(8002, ge=0, le=65535, description="Port of /healthz, /readyz and /metrics.")
    scorer_group: str = Field("scorer", min_length=1, description="Consumer group on recommendation-requests.")
    scorer_instance_id: str | None = Field(
        None,
        description="Static member id in the consumer group, one per process: one that restarts under its id takes over at once.",
    )
    scorer_session_timeout_sec: float = Field(
        10.0, ge=6.0, description="A dead process's partitions move on after this long; the broker's minimum is 6 s."
    )
    scorer_max_batch: int = Field(64, ge=1, le=1024, description="Most requests scored in one batch.")
    scorer_max_wait_ms: int = Field(
        1000,
        ge=0,
        description="How long a request with after_offset waits for its user's features when it has no deadline.",
    )
    scorer_push_limit: int = Field(20, ge=1, le=500, description="Places of a pushed list.")
    scorer_approximate_from: int = Field(
        250_000,
        ge=0,
        description="Items from which on the encoder's best ones are looked up in an approximate index; 0 is never.",
    )
    scorer_seed: int | None = Field(None, description="Seed of the random slot; a different draw each start otherwise.")
