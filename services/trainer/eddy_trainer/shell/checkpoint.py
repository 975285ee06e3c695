"""The checkpoint file: weights, optimisers, sequences, item embeddings, and the offsets that they were trained through.

Weights and offsets are in one file, replaced atomically: restoring one without the other would repeat or lose examples.
"""

import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog
import torch

from eddy.contract.model import hash_of_contract, is_compatible

log = structlog.get_logger()

MAGIC = b"EDDY-TRAINER-2\n"
DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class TrainerCheckpoint:
    """`offsets` are the next offsets per topic, by partition; `learner` is the result of Learner.state."""

    offsets: dict[str, list[int]]
    learner: dict[str, Any]


def write_checkpoint(path: Path, checkpoint: TrainerCheckpoint) -> None:
    """Replace the file atomically: at any moment `path` is either the former checkpoint or this one, complete."""
    payload = io.BytesIO()
    document = {"contract": hash_of_contract(), "offsets": checkpoint.offsets, "learner": _tensors(checkpoint.learner)}
    torch.save(document, payload)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file:
        file.write(MAGIC + hashlib.sha256(payload.getbuffer()).digest())
        file.write(payload.getbuffer())
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    _sync_folder(path.parent)


def read_checkpoint(path: Path, model: str) -> TrainerCheckpoint | None:
    """Return the checkpoint in `path`, or None, with the reason in the log, if it is damaged or of another contract or kind of model."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    body = content[len(MAGIC) + DIGEST_BYTES :]
    if content[: len(MAGIC) + DIGEST_BYTES] != MAGIC + hashlib.sha256(body).digest():
        log.warning("checkpoint_ignored", path=str(path), reason="damaged, or of another format")
        return None
    document = torch.load(io.BytesIO(body), weights_only=True)
    if not is_compatible(document["contract"]):
        log.warning("checkpoint_ignored", path=str(path), reason="of another model contract")
        return None
    if document["learner"].get("model") != model:
        log.warning("checkpoint_ignored", path=str(path), reason="of another kind of model")
        return None
    return TrainerCheckpoint(document["offsets"], document["learner"])


def _tensors(state: Any) -> Any:
    """Return the state with arrays as tensors, and views copied, so that torch can load it with `weights_only`."""
    if isinstance(state, np.ndarray):
        return torch.from_numpy(state.copy())
    if isinstance(state, torch.Tensor):
        return state.clone()
    if isinstance(state, dict):
        return {key: _tensors(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(_tensors(value) for value in state)
    return state


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
