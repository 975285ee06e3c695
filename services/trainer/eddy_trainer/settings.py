"""Settings of the trainer."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from eddy.paths import STATE
from eddy.settings import Settings


class TrainerSettings(Settings):
    """EDDY_* for every service and EDDY_TRAINER_* for this one."""

    trainer_http_port: int = Field(8004, ge=0, le=65535, description="Port of /healthz, /readyz and /metrics.")
    trainer_graphs_dir: Path = Field(
        STATE / "graphs", description="Folder for traced graphs: made from the code, no state."
    )
    trainer_model: Literal["linear", "logistic", "mlp", "ncf", "youtube_dnn", "gru4rec", "transformer", "hstu"] = Field(
        "transformer", description="Kind of model that is trained and released: services/trainer/models."
    )
    trainer_objective: Literal["next_item", "masked", "contrastive"] = Field(
        "next_item",
        description="What the encoder learns: the next item alone, or a self-supervised objective beside it.",
    )
    trainer_threads: int = Field(1, ge=1, description="Threads that torch computes with.")
    trainer_seed: int = Field(0, description="Seed of everything random.")
    trainer_release_interval_sec: float = Field(0.5, gt=0, description="Least time between two releases.")
    trainer_checkpoint_interval_sec: float = Field(30.0, gt=0, description="Time between two checkpoints.")
    trainer_learn_within_sec: float = Field(
        0.15, gt=0, description="Longest that an example waits for its batch to fill."
    )
    trainer_shed_replay_lag: int = Field(1000, ge=1, description="Waiting examples above which replay is left out.")
    trainer_large_batch_lag: int = Field(4000, ge=1, description="Waiting examples above which batches grow fourfold.")
    trainer_full_softmax_items: int = Field(
        0, ge=0, description="Catalogues up to this size train on the full softmax."
    )
    trainer_max_users: int = Field(200_000, ge=100, description="Users whose sequences are kept for replay.")
    trainer_tensorboard_dir: Path | None = Field(
        None,
        description="Folder that TensorBoard reads: scalars of every turn, item vectors once a minute; none when not set.",
    )
