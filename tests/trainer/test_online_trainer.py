"""The online trainer: releases, the release gate, rollbacks, and the release schedule."""

import math
from dataclasses import replace

import pytest
import torch

from eddy_trainer.core.examples import Timestamps
from eddy_trainer.core.graphs import GraphExporter
from eddy_trainer.core.learner import Learner, Rollback
from eddy_trainer.core.online_trainer import OnlineTrainer
from eddy_trainer.core.release import HeldRelease, Release
from eddy_trainer.core.release_gate import HELD, LOG_LOSS, NOT_A_NUMBER, PARITY
from eddy_trainer.core.release_schedule import ReleaseSchedule
from tests.trainer.factories import a_stream, easy_examples, invert_ranker, learner

pytestmark = pytest.mark.slow


def a_trainer(exporter: GraphExporter, interval: float = 0.0, floor: tuple[int, ...] = ()) -> OnlineTrainer:
    return OnlineTrainer(learner, exporter, ReleaseSchedule(interval, floor))


def released(trainer: OnlineTrainer, now: float) -> Release:
    prepared = trainer.prepare(now)
    assert isinstance(prepared, Release)
    return prepared


def settled(trainer: OnlineTrainer, exporter: GraphExporter, steps: int = 100) -> None:
    """Train on easy examples, with a release after each step."""
    for number in range(steps):
        assert trainer.observe(easy_examples(number)) is None
        trainer.step(through=[number])
        trainer.served(Release(trainer.capture(number), exporter.traced, 0.0), number)


def test_a_step_is_released_once_with_its_metrics(exporter: GraphExporter) -> None:
    trainer = a_trainer(exporter)
    assert trainer.prepare(0.0) is None
    events = [replace(each, timestamps=Timestamps(7, 9)) for each in a_stream(40)]
    trainer.observe(events)
    stepped = trainer.step(through=[80, 3])
    assert stepped.timestamps == (Timestamps(7, 9),) * 80
    assert stepped.report.ranker_steps > 0
    release = released(trainer, 1.0)
    assert release.capture.trained_through == (80, 3)
    metrics = release.metrics()
    assert (metrics["examples"], metrics["acted_at"]) == (80.0, 7.0)
    assert 0 <= metrics["parity"] < 1e-4
    assert math.isfinite(metrics["progressive_log_loss"])
    assert trainer.prepare(2.0) is None
    assert trainer.step().timestamps == ()


def test_a_model_with_nan_is_held(exporter: GraphExporter) -> None:
    trainer = a_trainer(exporter)
    trainer.observe(a_stream(40))
    trainer.step()
    with torch.no_grad():
        trainer.learner.ranker.ranker.score[0] = math.nan
    held = trainer.prepare(1.0)
    assert isinstance(held, HeldRelease)
    assert NOT_A_NUMBER in held.reasons


def test_graphs_that_differ_from_the_model_are_held(exporter: GraphExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = a_trainer(exporter)
    trainer.observe(a_stream(40))
    trainer.step()
    other = learner(seed=5)
    other.observe(a_stream(40, seed=5))
    other.step()
    capture = trainer.capture(1.0)
    stale = replace(capture, weights=other.snapshot())
    graphs = exporter.export(stale.weights)
    monkeypatch.setattr(exporter, "export", lambda _: graphs)
    held = trainer.judge(capture)
    assert isinstance(held, HeldRelease)
    assert held.reasons == (PARITY,)


def test_a_candidate_that_is_worse_than_the_serving_release_is_held(exporter: GraphExporter) -> None:
    trainer = a_trainer(exporter)
    settled(trainer, exporter, 40)
    invert_ranker(trainer.learner)
    for number in range(40, 60):
        trainer.learner.observe(easy_examples(number))
    trainer.schedule.retry()
    held = trainer.prepare(60.0)
    assert isinstance(held, HeldRelease)
    assert held.reasons == (LOG_LOSS,)


def test_a_regression_is_rolled_back_and_released_at_once(exporter: GraphExporter) -> None:
    trainer = a_trainer(exporter, interval=0.0)
    settled(trainer, exporter)
    outdated = trainer.capture(100.0)
    invert_ranker(trainer.learner)
    rollback = None
    for number in range(100, 300):
        rollback = trainer.observe(easy_examples(number))
        if rollback is not None:
            break
    assert rollback == Rollback(HELD, 99)
    assert not trainer.is_current(outdated)
    release = released(trainer, 100.0)  # no time has passed since the last capture, nothing was learned
    assert trainer.is_current(release.capture)


def test_restart_continues_from_a_state(exporter: GraphExporter) -> None:
    made: list[Learner] = []

    def make() -> Learner:
        made.append(learner())
        return made[-1]

    trainer = OnlineTrainer(make, exporter, ReleaseSchedule(0.0))
    trainer.observe(a_stream(40))
    trainer.step()
    state = trainer.learner.state()
    trainer.restart(state)
    assert trainer.learner is made[-1] is not made[0]
    assert trainer.learner.examples == 80
    trainer.restart(None)
    assert trainer.learner.examples == 0


def test_a_release_waits_for_its_interval_and_for_a_step() -> None:
    schedule = ReleaseSchedule(10.0)
    assert not schedule.is_due(100.0)
    schedule.trained([])
    assert not schedule.is_due(9.0)
    assert schedule.is_due(10.0)
    schedule.captured(10.0)
    assert not schedule.is_due(30.0)
    schedule.retry()
    assert not schedule.is_due(19.0)
    assert schedule.is_due(20.0)


def test_an_immediate_release_waits_for_the_floor_only() -> None:
    schedule = ReleaseSchedule(10.0, floor=[5, 5])
    schedule.read_through([4, 9])
    schedule.release_now()
    assert not schedule.is_due(0.0)
    schedule.read_through([5, 9])
    assert schedule.is_due(0.0)


def test_a_model_trained_on_less_than_the_serving_one_is_not_released() -> None:
    """This includes one that was restored from a checkpoint by the same process."""
    schedule = ReleaseSchedule(0.0, floor=[5, 50])
    schedule.cap_floor([5, 20])  # the topic was recreated
    schedule.trained([5, 19])
    assert not schedule.is_due(1.0)
    schedule.trained([5, 20])
    assert schedule.is_due(1.0)
    schedule.captured(1.0)
    schedule.served([30, 40])
    schedule.trained([12, 40])
    assert not schedule.is_due(2.0)
    schedule.trained([30, 40])
    assert schedule.is_due(2.0)
