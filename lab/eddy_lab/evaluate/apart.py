"""The learner of a stream in a process of its own: it learns from one micro-batch while the recommender takes the same events in.

They share nothing and meet at the release, so that what is found does not depend on which of the two is faster.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eddy.contract.scenarios import Scenarios
from eddy.text import TextModel
from eddy_trainer.core.examples import Example
from eddy_trainer.core.graphs import GraphExporter, Graphs
from eddy_trainer.core.learner import ItemContent, Learner, LearnerPolicy


@dataclass(frozen=True, slots=True)
class Released:
    """What a learner hands over: item ids and vectors [rows, DIM] by row (row 0 is padding), and both graphs."""

    item_ids: list[str]
    vectors: NDArray[np.float32]
    graphs: Graphs
    train_sec: float  # of processor time, since it began


@dataclass(frozen=True, slots=True)
class Task:
    """All that a learner starts from. `graphs` is the folder of traced graphs, `text_model` as in the settings."""

    scenarios: Scenarios
    policy: LearnerPolicy
    items: Sequence[ItemContent]
    graphs: Path
    text_model: str


class LearnerApart:
    """Hand examples over, take the release that learned from them: in turns."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def learn(self, examples: Sequence[Example]) -> None:
        self._connection.send(examples)

    def released(self) -> Released:
        """The release after the last `learn`. Raises what the learner failed with, and EOFError when its process is gone."""
        found: Released = self._answer()
        return found

    def ready(self) -> None:
        """Wait until it has read everything. Raises as `released` does."""
        self._answer()

    def _answer(self) -> Any:
        found = self._connection.recv()
        if isinstance(found, Exception):
            raise found
        return found


@contextmanager
def learner_apart(task: Task) -> Iterator[LearnerApart]:
    """A learner that has read the words of all items; it ends with the block."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_learn, args=(theirs, task), daemon=True)
    process.start()
    theirs.close()
    try:
        learner = LearnerApart(ours)
        learner.ready()
        yield learner
    finally:
        ours.close()
        process.join()


def _learn(connection: Connection, task: Task) -> None:
    try:
        _answer(connection, task)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # whoever asked may end at any moment, as after the last batch, whose release nobody takes
    except Exception as error:  # noqa: BLE001  # of whatever kind, it is theirs to hear of
        with suppress(OSError):
            connection.send(error)


def _answer(connection: Connection, task: Task) -> None:
    torch.set_num_threads(1)
    learner = Learner(task.scenarios, task.policy, TextModel.load(task.text_model))
    exporter = GraphExporter.cached(task.graphs, task.policy.model, task.policy.columns)
    learner.admit(task.items)
    while learner.unread:
        learner.read()
    connection.send(None)
    started = time.process_time()
    while True:
        learner.observe(connection.recv())
        if learner.regressed():
            learner.roll_back()
        learner.step()
        weights = learner.snapshot()
        graphs = exporter.export(weights)
        learner.serves(weights)
        connection.send(Released(weights.item_ids, weights.vectors, graphs, time.process_time() - started))
