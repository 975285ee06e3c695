"""Checkpoints: complete or ignored."""

import hashlib
import io
import os
import signal
import sqlite3
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import eddy_trainer.shell.checkpoint as module
from eddy.contract.legacy import LEGACY_CONTRACT
from eddy_trainer.core.budgets import BudgetPolicy
from eddy_trainer.core.learner import Learner
from eddy_trainer.core.models import DEFAULT_MODEL
from eddy_trainer.shell import row_store
from eddy_trainer.shell.checkpoint import TrainerCheckpoint, read_checkpoint, write_checkpoint
from tests.trainer.factories import a_stream, learner, next_item

OFFSETS = {"training-examples": [3, 0, 7, 1]}


def trained(events: int = 120) -> Learner:
    made = learner(budgets=BudgetPolicy())
    made.observe(a_stream(events))
    made.step()
    return made


def same_weights(first: Learner, second: Learner) -> bool:
    one, other = first.snapshot(), second.snapshot()
    tensors = [*zip(one.encoder.values(), other.encoder.values(), strict=True)]
    tensors += zip(one.ranker.values(), other.ranker.values(), strict=True)
    return all(torch.equal(x, y) for x, y in tensors) and (one.vectors == other.vectors).all()


def test_a_restored_learner_continues_like_the_original(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "trainer.ckpt"
    original = trained()
    write_checkpoint(path, TrainerCheckpoint(OFFSETS, original.state()))
    saved = read_checkpoint(path, DEFAULT_MODEL)
    assert saved is not None
    assert saved.offsets == OFFSETS
    restored = learner(items=0, seed=5, budgets=BudgetPolicy())
    restored.restore(saved.learner)
    assert restored.examples == original.examples == 240
    assert same_weights(original, restored)
    more = a_stream(150, seed=1)
    for each in (original, restored):
        each.observe(more)
        each.encoder.step(rehearse=True)
    assert torch.equal(original.encoder.encoder.scale, restored.encoder.encoder.scale)
    assert (original.snapshot().vectors == restored.snapshot().vectors).all()


def test_the_keys_of_a_state_are_part_of_the_format() -> None:
    """A renamed key or parameter would make the checkpoints of former versions unreadable."""
    state = trained().state()
    encoder, ranker = state["encoder"], state["ranker"]
    assert state.keys() == {
        "model", "features", "actions", "text_model", "unread", "awaiting", "encoder", "ranker", "examples"
    }  # fmt: skip
    assert encoder.keys() == {"encoder", "optimiser", "table", "sequences", "budgets", "popularity", "fresh", "random"}
    assert encoder["table"].keys() == {
        "ids", "deletions", "vocabulary", "projection", "text_projection", "texts", "text_digests", "embedding", "moments", "steps",
        "slots",
        "described", "acted"
    }  # fmt: skip
    assert encoder["sequences"].keys() == {
        "users", "count", "appended", "rows", "actions", "scenarios", "values", "at", "age_start", "taught", "number"
    }  # fmt: skip
    assert ranker.keys() == {"ranker", "optimiser", "random"}
    assert {name for name in encoder["encoder"] if not name.startswith("blocks.")} == {
        "action", "gap", "gate", "norm.bias", "norm.weight", "scale", "shift", "strength"
    }  # fmt: skip
    assert {name for name in encoder["encoder"] if name.startswith("blocks.1.")} == {
        f"blocks.1.{name}"
        for name in (
            "attention_norm.bias", "attention_norm.weight", "feed_in", "feed_in_bias", "feed_norm.bias", "feed_norm.weight", "feed_out",
            "feed_out_bias", "gate", "key", "out", "place_bias", "query", "time_bias", "value",
        )
    }  # fmt: skip
    assert ranker["ranker"].keys() == {
        "additive", "batches", "deviation", "first", "first_bias", "gate", "head_bias", "heads", "input_gate", "mean", "position",
        "score", "second", "second_bias", "shift"
    }  # fmt: skip


def test_absent_checkpoint_is_none(tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path / "absent", DEFAULT_MODEL) is None


@pytest.mark.parametrize("kept", [0, 10, 60, 5000, -8192])
def test_a_truncated_checkpoint_is_ignored(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "trainer.ckpt"
    write_checkpoint(path, TrainerCheckpoint(OFFSETS, trained().state()))
    path.write_bytes(path.read_bytes()[:kept])
    assert read_checkpoint(path, DEFAULT_MODEL) is None


def test_a_checkpoint_with_a_changed_byte_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "trainer.ckpt"
    write_checkpoint(path, TrainerCheckpoint(OFFSETS, {"model": DEFAULT_MODEL, "examples": 1}))
    content = bytearray(path.read_bytes())
    content[content.index(b"data.pkl") + 60] ^= 1
    path.write_bytes(content)
    assert read_checkpoint(path, DEFAULT_MODEL) is None


def test_a_checkpoint_of_another_contract_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "trainer.ckpt"
    monkeypatch.setattr(module, "hash_of_contract", lambda: "another")
    write_checkpoint(path, TrainerCheckpoint(OFFSETS, {"model": DEFAULT_MODEL, "examples": 1}))
    assert read_checkpoint(path, DEFAULT_MODEL) is None


def test_a_checkpoint_of_the_last_contract_without_feature_names_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trainer.ckpt"
    monkeypatch.setattr(module, "hash_of_contract", lambda: LEGACY_CONTRACT)
    write_checkpoint(path, TrainerCheckpoint(OFFSETS, {"model": DEFAULT_MODEL, "examples": 1}))
    monkeypatch.undo()
    assert read_checkpoint(path, DEFAULT_MODEL) == TrainerCheckpoint(OFFSETS, {"model": DEFAULT_MODEL, "examples": 1})


def test_a_checkpoint_of_another_kind_of_model_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "trainer.ckpt"
    write_checkpoint(path, TrainerCheckpoint(OFFSETS, trained().state()))
    assert read_checkpoint(path, "hstu") is None
    assert read_checkpoint(path, DEFAULT_MODEL) is not None


@pytest.mark.parametrize("moment", ["before the commit", "in the middle"])
def test_a_killed_write_leaves_the_former_checkpoint(tmp_path: Path, moment: str) -> None:
    """A process that is killed by SIGKILL while it writes, with all changed pages written or only some."""
    path, former = tmp_path / "trainer.ckpt", trained()
    write_checkpoint(path, TrainerCheckpoint(OFFSETS, former.state()))
    later = trained(240)
    child = os.fork()
    if not child:
        store = sqlite3.connect
        rows: list[int] = []

        class Killed(sqlite3.Connection):
            def executemany(self, statement: str, parameters: object) -> sqlite3.Cursor:
                self.execute("PRAGMA cache_size = 1")  # pages go to the file at once
                rows.append(super().executemany(statement, parameters).rowcount)  # type: ignore[arg-type]
                if moment == "in the middle":
                    os.kill(os.getpid(), signal.SIGKILL)
                return self.cursor()

            def __exit__(self, *_: object) -> bool:  # type: ignore[override]
                os.kill(os.getpid(), signal.SIGKILL)
                return False

        sqlite3.connect = lambda path: store(path, factory=Killed)  # type: ignore[assignment]
        write_checkpoint(path, TrainerCheckpoint({"training-examples": [9] * 4}, later.state()))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    saved = read_checkpoint(path, DEFAULT_MODEL)
    assert saved is not None
    assert saved.offsets == OFFSETS
    restored = learner(items=0)
    restored.restore(saved.learner)
    assert same_weights(former, restored)
    write_checkpoint(path, TrainerCheckpoint(OFFSETS, later.state()))
    assert read_checkpoint(path, DEFAULT_MODEL) is not None


def test_a_checkpoint_of_the_former_format_is_read_and_replaced(tmp_path: Path) -> None:
    path, original = tmp_path / "trainer.ckpt", trained()
    state = original.state()
    state["encoder"]["sequences"]["users"] = dict(original.encoder.sequences._slot_of)
    body = io.BytesIO()
    torch.save({"contract": module.hash_of_contract(), "offsets": OFFSETS, "learner": tensors(state)}, body)
    path.write_bytes(module.MAGIC + hashlib.sha256(body.getvalue()).digest() + body.getvalue())
    for _ in range(2):
        saved = read_checkpoint(path, DEFAULT_MODEL)
        assert saved is not None
        restored = learner(items=0)
        restored.restore(saved.learner)
        assert same_weights(original, restored)
        assert list(restored.encoder.sequences._slot_of) == list(original.encoder.sequences._slot_of)
        write_checkpoint(path, TrainerCheckpoint(OFFSETS, original.state()))


def test_a_learner_that_was_taught_nothing_is_restored(tmp_path: Path) -> None:
    """It has no users and perhaps no items: arrays without a row."""
    path = tmp_path / "trainer.ckpt"
    for items in (0, 2):
        original, restored = learner(items=items), learner(items=0, seed=5)
        assert original.encoder.step(rehearse=True) == original.encoder.step(rehearse=False) == []
        write_checkpoint(path, TrainerCheckpoint(OFFSETS, original.state()))
        saved = read_checkpoint(path, DEFAULT_MODEL)
        assert saved is not None
        restored.restore(saved.learner)
        assert same_weights(original, restored)
        restored.observe(a_stream(20))
        assert restored.step().encoder_steps


def test_a_checkpoint_costs_what_changed(tmp_path: Path) -> None:
    path, made = tmp_path / "trainer.ckpt", learner()
    made.observe([next_item(f"u{number}", f"i{number % 30}") for number in range(2000)])
    whole = row_store.write(path, {"learner": made.state()})
    assert row_store.write(path, {"learner": made.state()}) == 0
    made.observe([next_item("u7", "i3", 5), next_item("somebody", "i4", 6)])
    assert row_store.write(path, {"learner": made.state()}) < 0.01 * whole


def test_a_checkpoint_is_written_in_little_memory(tmp_path: Path) -> None:
    """By blocks: not in a multiple of what the sequences of all users take."""
    made, path = learner(), tmp_path / "trainer.ckpt"
    made.observe([next_item(f"u{number}", f"i{number % 30}") for number in range(4000)])
    state = {"learner": made.state()}
    size = sum(
        column.nbytes for column in state["learner"]["encoder"]["sequences"].values() if hasattr(column, "nbytes")
    )
    peaks = []
    for _ in range(2):
        tracemalloc.start()
        row_store.write(path, state)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert size > 20 * 2**20
    assert max(peaks) < size / 3
    assert sorted(row_store.read(path)["learner"]["encoder"]["sequences"]["users"]) == sorted(
        f"u{number}" for number in range(4000)
    )


def test_a_checkpoint_forgets_the_bytes_of_an_erased_user(tmp_path: Path) -> None:
    path, made = tmp_path / "trainer.ckpt", learner()
    made.observe([next_item(f"user-{number}", f"i{number % 30}") for number in range(500)])
    write_checkpoint(path, TrainerCheckpoint(OFFSETS, made.state()))
    stored = made.encoder.sequences._users.index("user-77")
    assert stored >= 0
    made.forget(["user-77"])
    write_checkpoint(path, TrainerCheckpoint(OFFSETS, made.state()))
    with sqlite3.connect(path) as connection:
        texts = [zlib.decompress(row) for (row,) in connection.execute("SELECT content FROM contents")]
    assert b"user-78" in texts
    assert b"user-77" not in texts
    compressed = zlib.compress(b"user-77", 1)
    assert compressed not in path.read_bytes()


def tensors(state: Any) -> Any:
    if isinstance(state, np.ndarray):
        return torch.from_numpy(state.copy())
    if isinstance(state, dict):
        return {key: tensors(value) for key, value in state.items()}
    return type(state)(map(tensors, state)) if isinstance(state, list | tuple) else state


@pytest.mark.parametrize("kept", [3, 40, 4000])
def test_a_damaged_checkpoint_is_set_aside_once(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "trainer.ckpt"
    write_checkpoint(path, TrainerCheckpoint(OFFSETS, trained().state()))
    damaged = path.read_bytes()[:kept]
    path.write_bytes(damaged)
    assert read_checkpoint(path, DEFAULT_MODEL) is None
    assert not path.exists()
    assert read_checkpoint(path, DEFAULT_MODEL) is None
    assert (tmp_path / "trainer.ckpt.broken").read_bytes() == damaged
