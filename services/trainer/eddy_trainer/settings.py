"""Settings of the trainer service."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from eddy.keys import SIGNING_KEY
from eddy.paths import STATE
from eddy.settings import Settings


class TrainerSettings(Settings):
    """Settings of the trainer (EDDY_TRAINER_*)."""

    trainer_http_port: int = Field(8004, ge=0, le=65535, description="Port of /healthz, /readyz and /metrics.")
    trainer_graphs_dir: Path = Field(
        STATE / "graphs", description="Folder that caches exported ONNX graphs. Safe to delete."
    )
    trainer_signing_key: Path = Field(
        SIGNING_KEY, description="PEM file of the Ed25519 private key that signs releases."
    )
    trainer_model: Literal["linear", "logistic", "mlp", "ncf", "youtube_dnn", "gru4rec", "transformer", "hstu"] = Field(
        "transformer", description="Kind of model that is trained and released (eddy_trainer/core/models)."
    )
    trainer_objective: Literal["next_item", "masked", "contrastive"] = Field(
        "next_item",
        description="Training objective of the encoder: the next item alone, or with a self-supervised auxiliary objective.",
    )
    trainer_threads: int = Field(1, ge=1, description="Number of PyTorch threads.")
    trainer_seed: int = Field(0, description="Random seed of training.")
    trainer_release_interval_sec: float = Field(0.5, gt=0, description="Minimum seconds between two releases.")
    trainer_checkpoint_interval_sec: float = Field(30.0, gt=0, description="Seconds between two checkpoints.")
    trainer_learn_within_sec: float = Field(
        0.15, gt=0, description="Maximum seconds that an example waits for its batch to fill."
    )
    trainer_shed_rehearsal_lag: int = Field(1000, ge=1, description="Lag in examples above which rehearsal is skipped.")
    trainer_large_batch_lag: int = Field(
        4000, ge=1, description="Lag in examples above which batches are four times as large."
    )
    trainer_full_softmax_items: int = Field(
        0, ge=0, description="Maximum catalogue size for training on the full softmax; a larger catalogue is sampled."
    )
    trainer_max_users: int = Field(
        200_000, ge=100, description="Maximum number of users whose sequences are kept for rehearsal."
    )
    trainer_tensorboard_dir: Path | None = Field(
        None,
        description="Folder for TensorBoard: scalars of every step, item embeddings once a minute. Nothing is written if not set.",
    )
