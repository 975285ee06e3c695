"""A release beside the loop: what was held or is outdated is not published, what could not be written is tried again."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch

from eddy.clock import SystemClock
from eddy.kafka.bus import KafkaError
from eddy.runtime import Health
from eddy_trainer.core.graphs import GraphExporter, Graphs
from eddy_trainer.core.learner import Rollback, Weights
from eddy_trainer.core.online_trainer import OnlineTrainer
from eddy_trainer.core.release_gate import LOG_LOSS
from eddy_trainer.core.release_schedule import ReleaseSchedule
from eddy_trainer.shell.monitoring import Profiler, TensorBoard
from eddy_trainer.shell.observer import Observer
from eddy_trainer.shell.release_task import ReleaseTask
from eddy_trainer.shell.releases import PublishedRelease, ReleasePublisher
from tests.trainer.factories import a_stream, learner


class RecordingPublisher(ReleasePublisher):
    """Keeps what would be published; fails for as long as it is `broken`."""

    def __init__(self) -> None:
        self.version = 0
        self.sent: list[tuple[int, ...]] = []  # what each learned through
        self.broken = False

    async def publish(
        self, weights: Weights, graphs: Graphs, trained_through: Sequence[int], metrics: Mapping[str, float]
    ) -> PublishedRelease:
        if self.broken:
            raise KafkaError
        self.version += 1
        self.sent.append(tuple(trained_through))
        return PublishedRelease(self.version, 0, 0)


class Shell:
    """A release task on a turn that has learned something."""

    def __init__(self, exporter: GraphExporter, folder: Path) -> None:
        self.health = Health()
        self.outbox = RecordingPublisher()
        self.turn = OnlineTrainer(learner, exporter, ReleaseSchedule(1.0))
        observer = Observer(self.health, SystemClock(), TensorBoard(None), Profiler(folder))
        self.task = ReleaseTask(self.turn, self.outbox, observer)
        self.turn.observe(a_stream(40))
        self.turn.step(through=[80])

    async def advance(self, now: float) -> None:
        """Start what is due, let it come to an end, and take note of it."""
        await self.task.advance(now)
        running = self.task._running
        if running is not None:
            await asyncio.wait([running])
            await self.task.advance(now)


@pytest.fixture
def shell(exporter: GraphExporter, tmp_path: Path) -> Shell:
    return Shell(exporter, tmp_path)


async def test_a_release_is_published_once_and_serves(shell: Shell) -> None:
    await shell.advance(0.5)
    assert shell.outbox.sent == []
    await shell.advance(1.0)
    await shell.advance(5.0)
    assert shell.outbox.sent == [(80,)]
    assert shell.health.details["version"] == 1
    assert shell.turn.learner._serving_version == 1


async def test_what_is_held_is_not_published(shell: Shell) -> None:
    with torch.no_grad():
        shell.turn.learner.ranker.ranker.score[0] = math.nan
    await shell.advance(1.0)
    assert shell.outbox.sent == []
    assert shell.turn.learner._serving_version == 0


async def test_what_was_captured_before_a_rollback_is_not_published(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shell.task.advance(1.0)
    monkeypatch.setattr(shell.turn.learner, "regressed", lambda: True)
    monkeypatch.setattr(shell.turn.learner, "roll_back", lambda: Rollback(LOG_LOSS, 0))
    assert shell.turn.observe(a_stream(5)) is not None
    monkeypatch.undo()
    running = shell.task._running
    assert running is not None
    assert await running is None
    assert shell.outbox.sent == []
    await shell.advance(1.0)
    assert shell.outbox.sent == [(80,)]


async def test_what_could_not_be_written_is_tried_again(shell: Shell) -> None:
    shell.outbox.broken = True
    await shell.advance(1.0)
    shell.outbox.broken = False
    await shell.advance(1.5)
    assert shell.outbox.sent == []
    await shell.advance(2.0)
    assert shell.outbox.sent == [(80,)]
