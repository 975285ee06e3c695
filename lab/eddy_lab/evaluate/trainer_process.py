"""The trainer of a stream in a process of its own: it learns from a micro-batch while the recommender applies the same events.

It runs the code of the live trainer, so every release has passed the release gate. The two processes share nothing and synchronise after
each micro-batch, so figures do not depend on which of them is faster.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from eddy.contract.scenarios import Scenarios
from eddy.text import TextModel
from eddy_lab.evaluate.child_process import CONTEXT
from eddy_lab.evaluate.releases import MicroBatchResult, ReleaseCounts, ServedRelease
from eddy_trainer.core.examples import Example
from eddy_trainer.core.graphs import GraphExporter
from eddy_trainer.core.learner import ItemContent, Learner, LearnerPolicy
from eddy_trainer.core.online_trainer import OnlineTrainer
from eddy_trainer.core.release import Release
from eddy_trainer.core.release_schedule import ReleaseSchedule


@dataclass(frozen=True, slots=True)
class TrainerSetup:
    """The state that a trainer starts from. `graphs` is the folder of traced graphs, `text_model` as in the settings."""

    scenarios: Scenarios
    policy: LearnerPolicy
    items: Sequence[ItemContent]
    graphs: Path
    text_model: str


class TrainerProcess:
    """Call `learn` and `result` in turn, once per micro-batch."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def learn(self, examples: Sequence[Example]) -> None:
        self._connection.send(examples)

    def result(self) -> MicroBatchResult:
        """The result of the last `learn`. Raises the trainer's error if it failed, and EOFError if its process has ended."""
        result: MicroBatchResult = self._receive()
        return result

    def wait_until_ready(self) -> None:
        """Wait until the trainer has embedded the words of all items. Raises as `result` does."""
        self._receive()

    def _receive(self) -> Any:
        received = self._connection.recv()
        if isinstance(received, Exception):
            raise received
        return received


@contextmanager
def trainer_process(setup: TrainerSetup) -> Iterator[TrainerProcess]:
    """A trainer that has embedded the words of all items; it ends with the block."""
    parent, child = CONTEXT.Pipe()
    process = CONTEXT.Process(target=_run, args=(child, setup), daemon=True)
    process.start()
    child.close()
    try:
        trainer = TrainerProcess(parent)
        trainer.wait_until_ready()
        yield trainer
    finally:
        parent.close()
        process.join()


def _run(connection: Connection, setup: TrainerSetup) -> None:
    try:
        _learn_all(connection, setup)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the parent may close the connection at any time, as it does after the last batch
    except Exception as error:  # noqa: BLE001  # the parent raises the error, whatever its type
        with suppress(OSError):
            connection.send(error)


def _learn_all(connection: Connection, setup: TrainerSetup) -> None:
    torch.set_num_threads(1)
    trainer = make_trainer(setup)
    while trainer.learner.pending_texts:
        trainer.learner.embed_texts()
    connection.send(None)
    started, counts = time.process_time(), ReleaseCounts()
    for batch in count(1):
        release = learn(trainer, connection.recv(), batch, counts)
        served = ServedRelease.of(release) if release is not None else None
        connection.send(MicroBatchResult(served, counts, time.process_time() - started))


def make_trainer(setup: TrainerSetup) -> OnlineTrainer:
    """A trainer with all items, which releases after every micro-batch."""
    exporter = GraphExporter.cached(setup.graphs, setup.policy.model, setup.policy.columns)

    def make_learner() -> Learner:
        return Learner(setup.scenarios, setup.policy, TextModel.load(setup.text_model))

    trainer = OnlineTrainer(make_learner, exporter, ReleaseSchedule(interval=1))
    trainer.learner.admit(setup.items)
    return trainer


def learn(trainer: OnlineTrainer, examples: Sequence[Example], batch: int, counts: ReleaseCounts) -> Release | None:
    """Learn a micro-batch and prepare a release. Returns it, or None if the gate held it back; updates `counts`."""
    counts.note_rollback(trainer.observe(examples))
    trainer.step()
    prepared = trainer.prepare(batch)
    counts.note(prepared)
    if not isinstance(prepared, Release):
        return None
    trainer.served(prepared, counts.released)
    return prepared
