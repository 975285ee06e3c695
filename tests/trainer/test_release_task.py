"""Releases in the background: held and outdated ones are not published, failed writes are retried."""

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
from eddy_trainer.core.learner import ItemContent, Rollback, Weights
from eddy_trainer.core.online_trainer import OnlineTrainer
from eddy_trainer.core.release_gate import LOG_LOSS
from eddy_trainer.core.release_schedule import ReleaseSchedule
from eddy_trainer.shell.monitoring import Profiler, TensorBoard
from eddy_trainer.shell.observer import Observer
from eddy_trainer.shell.release_task import ReleaseTask
from eddy_trainer.shell.releases import PublishedRelease, ReleasePublisher
from tests.poll import poll_until
from tests.trainer.factories import a_stream, learner


class RecordingPublisher(ReleasePublisher):
    """Records releases instead of publishing them; fails while `broken`."""

    def __init__(self) -> None:
        self.version = 0
        self.sent: list[tuple[int, ...]] = []  # `trained_through` of each
        self.deleted: list[tuple[str, ...]] = []
        self.broken = False
        self.slow = False
        self.started = self.aborted = 0

    async def publish(
        self, weights: Weights, graphs: Graphs, trained_through: Sequence[int], metrics: Mapping[str, float]
    ) -> PublishedRelease:
        if self.broken:
            raise KafkaError
        if self.slow:
            self.started += 1
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.01)
                self.aborted += 1
        self.version += 1
        self.sent.append(tuple(trained_through))
        return PublishedRelease(self.version, 0, 0)

    async def delete_rows(self, item_ids: Sequence[str]) -> None:
        if self.broken:
            raise KafkaError
        self.deleted.append(tuple(item_ids))

    async def watch(self) -> bool:
        return False


class ReleasingTrainer:
    """A release task with a trainer that has made a step."""

    def __init__(self, exporter: GraphExporter, folder: Path) -> None:
        self.health = Health()
        self.publisher = RecordingPublisher()
        self.trainer = OnlineTrainer(learner, exporter, ReleaseSchedule(1.0))
        observer = Observer(self.health, SystemClock(), TensorBoard(None), Profiler(folder))
        self.task = ReleaseTask(self.trainer, self.publisher, observer)
        self.trainer.observe(a_stream(40))
        self.trainer.step(through=[80])

    async def advance(self, now: float) -> None:
        """Start a release if one is due, wait for it, and complete it."""
        await self.task.advance(now)
        running = self.task._running
        if running is not None:
            await asyncio.wait([running])
            await self.task.advance(now)


@pytest.fixture
def releasing(exporter: GraphExporter, tmp_path: Path) -> ReleasingTrainer:
    return ReleasingTrainer(exporter, tmp_path)


async def test_a_release_is_published_once_and_then_serves(releasing: ReleasingTrainer) -> None:
    await releasing.advance(0.5)
    assert releasing.publisher.sent == []
    await releasing.advance(1.0)
    await releasing.advance(5.0)
    assert releasing.publisher.sent == [(80,)]
    assert releasing.health.details["version"] == 1
    assert releasing.trainer.learner._serving_version == 1


async def test_deleted_items_do_not_wait_for_a_release(releasing: ReleasingTrainer) -> None:
    """No step follows, or the gate holds every release: the embeddings are deleted all the same, and only once."""
    await releasing.advance(1.0)
    trainee = releasing.trainer.learner
    trainee.admit([ItemContent("i1", deleted=True)])
    await releasing.advance(2.0)
    assert releasing.publisher.deleted == []
    releasing.publisher.broken = True
    await releasing.advance(3.5)
    releasing.publisher.broken = False
    await releasing.advance(4.0)
    assert trainee.unpublished_deletions == ("i1",)
    for now in (5.0, 6.0, 9.0):
        await releasing.advance(now)
    assert releasing.publisher.deleted == [("i1",)]
    assert trainee.unpublished_deletions == ()
    assert releasing.publisher.sent == [(80,)]


async def test_a_held_release_is_not_published(releasing: ReleasingTrainer) -> None:
    with torch.no_grad():
        releasing.trainer.learner.ranker.ranker.score[0] = math.nan
    await releasing.advance(1.0)
    assert releasing.publisher.sent == []
    assert releasing.trainer.learner._serving_version == 0


async def test_a_release_captured_before_a_rollback_is_not_published(
    releasing: ReleasingTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await releasing.task.advance(1.0)
    monkeypatch.setattr(releasing.trainer.learner, "regressed", lambda: True)
    monkeypatch.setattr(releasing.trainer.learner, "roll_back", lambda: Rollback(LOG_LOSS, 0))
    assert releasing.trainer.observe(a_stream(5)) is not None
    monkeypatch.undo()
    running = releasing.task._running
    assert running is not None
    assert await running is None
    assert releasing.publisher.sent == []
    await releasing.advance(1.0)
    assert releasing.publisher.sent == [(80,)]


async def test_a_failed_write_is_retried(releasing: ReleasingTrainer) -> None:
    releasing.publisher.broken = True
    await releasing.advance(1.0)
    releasing.publisher.broken = False
    await releasing.advance(1.5)
    assert releasing.publisher.sent == []
    await releasing.advance(2.0)
    assert releasing.publisher.sent == [(80,)]


async def test_a_release_under_way_is_aborted_at_the_end(releasing: ReleasingTrainer) -> None:
    await releasing.task.stop()
    releasing.publisher.slow = True
    await releasing.task.advance(1.0)
    await poll_until(lambda: releasing.publisher.started)
    await releasing.task.stop()
    assert (releasing.publisher.aborted, releasing.publisher.sent) == (1, [])
