"""The checkpoint file: weights, optimisers, sequences, item embeddings, and the offsets that they were trained through.

Weights and offsets are in one file, replaced in one transaction: restoring one without the other would repeat or lose examples. The file is
a store of rows (eddy_trainer.shell.row_store), so that a checkpoint costs what has changed since the former one.
"""

import hashlib
import io
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import torch

from eddy.contract.model import hash_of_contract, is_compatible
from eddy.set_aside import set_aside
from eddy_trainer.shell import row_store

log = structlog.get_logger()

MAGIC = b"EDDY-TRAINER-2\n"  # of the former format
_SQLITE = b"SQLite format 3\0"
DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class TrainerCheckpoint:
    """`offsets` are the next offsets per topic, by partition; `learner` is the result of Learner.state."""

    offsets: dict[str, list[int]]
    learner: dict[str, Any]


def write_checkpoint(path: Path, checkpoint: TrainerCheckpoint) -> None:
    """Replace the checkpoint atomically: at any moment `path` is either the former one or this one, complete.

    A file of another format, or a damaged one, is replaced as a whole.
    """
    document = {"contract": hash_of_contract(), "offsets": checkpoint.offsets, "learner": checkpoint.learner}
    path.parent.mkdir(parents=True, exist_ok=True)
    if _is_store(path):
        try:
            row_store.write(path, document)
            return
        except sqlite3.OperationalError:  # the disk is full, or the like
            raise
        except sqlite3.DatabaseError as error:
            log.warning("checkpoint_replaced", path=str(path), reason=str(error))
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    row_store.write(draft, document)
    path.with_name(path.name + "-journal").unlink(missing_ok=True)  # of the file that is replaced
    draft.replace(path)
    _sync_folder(path.parent)


def read_checkpoint(path: Path, model: str) -> TrainerCheckpoint | None:
    """Return the checkpoint in `path`, or None, with the reason in the log: a damaged one is set aside, and one of another contract or kind
    of model is ignored."""
    if not path.exists():
        return None
    try:
        document = row_store.read(path) if _is_store(path) else _former(path)
        contract, kind = document["contract"], document["learner"].get("model")
    except (row_store.DamagedError, OSError, LookupError, AttributeError, RuntimeError) as error:
        set_aside(path, f"damaged, or of another format: {error!r}")
        return None
    if not is_compatible(contract):
        log.warning("checkpoint_ignored", path=str(path), reason="of another model contract")
        return None
    if kind != model:
        log.warning("checkpoint_ignored", path=str(path), reason="of another kind of model")
        return None
    return TrainerCheckpoint(document["offsets"], document["learner"])


def _is_store(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except FileNotFoundError:
        return False


def _former(path: Path) -> dict[str, Any]:
    """The document of a checkpoint of the former format: one file, written as a whole."""
    content = path.read_bytes()
    body = content[len(MAGIC) + DIGEST_BYTES :]
    if content[: len(MAGIC) + DIGEST_BYTES] != MAGIC + hashlib.sha256(body).digest():
        raise row_store.DamagedError("wrong digest")
    document: dict[str, Any] = torch.load(io.BytesIO(body), weights_only=True)
    return document


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
