"""The trainer of a stream in a process of its own: it learns from one micro-batch while the recommender takes the same events in.

It runs the trainer's turn, so that what it hands over has passed the release gate. The two share nothing and meet after each micro-batch:
figures do not depend on which of them is faster.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from eddy.contract.scenarios import Scenarios
from eddy.text import TextModel
from eddy_lab.evaluate.releases import ReleaseCounts, ServedRelease, TrainerAnswer
from eddy_trainer.core.examples import Example
from eddy_trainer.core.graphs import GraphExporter
from eddy_trainer.core.learner import ItemContent, Learner, LearnerPolicy
from eddy_trainer.core.online_trainer import OnlineTrainer
from eddy_trainer.core.release import Release
from eddy_trainer.core.release_schedule import ReleaseSchedule


@dataclass(frozen=True, slots=True)
class TrainerSetup:
    """Everything that a trainer starts from. `graphs` is the folder of traced graphs, `text_model` as in the settings."""

    scenarios: Scenarios
    policy: LearnerPolicy
    items: Sequence[ItemContent]
    graphs: Path
    text_model: str


class TrainerProcess:
    """Hand examples over, take what became of them: in turns."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def learn(self, examples: Sequence[Example]) -> None:
        self._connection.send(examples)

    def answer(self) -> TrainerAnswer:
        """What became of the last `learn`. Raises what the trainer failed with, and EOFError when its process is gone."""
        answer: TrainerAnswer = self._receive()
        return answer

    def wait_until_ready(self) -> None:
        """Wait until it has embedded the words of all items. Raises as `answer` does."""
        self._receive()

    def _receive(self) -> Any:
        received = self._connection.recv()
        if isinstance(received, Exception):
            raise received
        return received


@contextmanager
def trainer_process(task: TrainerSetup) -> Iterator[TrainerProcess]:
    """A trainer that has embedded the words of all items; it ends with the block."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(theirs, task), daemon=True)
    process.start()
    theirs.close()
    try:
        trainer = TrainerProcess(ours)
        trainer.wait_until_ready()
        yield trainer
    finally:
        ours.close()
        process.join()


def _run(connection: Connection, task: TrainerSetup) -> None:
    try:
        _answer_all(connection, task)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the other side may end at any moment, as after the last batch, whose answer nobody takes
    except Exception as error:  # noqa: BLE001  # of whatever kind, it is raised on the other side
        with suppress(OSError):
            connection.send(error)


def _answer_all(connection: Connection, task: TrainerSetup) -> None:
    torch.set_num_threads(1)
    turn = turn_of(task)
    while turn.learner.pending_texts:
        turn.learner.embed_texts()
    connection.send(None)
    started, counts = time.process_time(), ReleaseCounts()
    for batch in count(1):
        release = learn(turn, connection.recv(), batch, counts)
        served = ServedRelease.of(release) if release is not None else None
        connection.send(TrainerAnswer(served, counts, time.process_time() - started))


def turn_of(task: TrainerSetup) -> OnlineTrainer:
    """A turn with all items, which releases after every micro-batch."""
    exporter = GraphExporter.cached(task.graphs, task.policy.model, task.policy.columns)

    def make_learner() -> Learner:
        return Learner(task.scenarios, task.policy, TextModel.load(task.text_model))

    turn = OnlineTrainer(make_learner, exporter, ReleaseSchedule(interval=1))
    turn.learner.admit(task.items)
    return turn


def learn(turn: OnlineTrainer, examples: Sequence[Example], batch: int, counts: ReleaseCounts) -> Release | None:
    """One whole turn; the release that serves from now on, None where it was held. `counts` take note of either."""
    counts.note_rollback(turn.observe(examples))
    turn.step()
    prepared = turn.prepare(batch)
    counts.note(prepared)
    if not isinstance(prepared, Release):
        return None
    turn.served(prepared, counts.released)
    return prepared
