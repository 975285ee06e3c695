"""The trainer's turn as values: what it releases, what it holds and why, when it rolls back, and when a release is due."""

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
from tests.trainer.factories import a_stream, easy_examples, learner, reverse_ranker

pytestmark = pytest.mark.slow


def a_turn(exporter: GraphExporter, interval: float = 0.0, floor: tuple[int, ...] = ()) -> OnlineTrainer:
    return OnlineTrainer(learner, exporter, ReleaseSchedule(interval, floor))


def released(turn: OnlineTrainer, now: float) -> Release:
    prepared = turn.prepare(now)
    assert isinstance(prepared, Release)
    return prepared


def settled(turn: OnlineTrainer, exporter: GraphExporter, turns: int = 100) -> None:
    """Learn from so many easy turns, each of which serves, whatever the graphs."""
    for number in range(turns):
        assert turn.observe(easy_examples(number)) is None
        turn.step(through=[number])
        turn.served(Release(turn.capture(number), exporter.traced, 0.0), number)


def test_what_is_learned_is_released_once_and_says_what_it_learned(exporter: GraphExporter) -> None:
    turn = a_turn(exporter)
    assert turn.prepare(0.0) is None
    events = [replace(each, timestamps=Timestamps(7, 9)) for each in a_stream(40)]
    turn.observe(events)
    stepped = turn.step(through=[80, 3])
    assert stepped.timestamps == (Timestamps(7, 9),) * 80
    assert stepped.report.ranker_steps > 0
    release = released(turn, 1.0)
    assert release.capture.trained_through == (80, 3)
    metrics = release.metrics()
    assert (metrics["examples"], metrics["acted_at"]) == (80.0, 7.0)
    assert 0 <= metrics["parity"] < 1e-4
    assert math.isfinite(metrics["progressive_log_loss"])
    assert turn.prepare(2.0) is None
    assert turn.step().timestamps == ()


def test_a_weight_that_is_not_a_number_is_held(exporter: GraphExporter) -> None:
    turn = a_turn(exporter)
    turn.observe(a_stream(40))
    turn.step()
    with torch.no_grad():
        turn.learner.ranker.ranker.score[0] = math.nan
    held = turn.prepare(1.0)
    assert isinstance(held, HeldRelease)
    assert NOT_A_NUMBER in held.reasons


def test_graphs_that_compute_something_else_are_held(exporter: GraphExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    turn = a_turn(exporter)
    turn.observe(a_stream(40))
    turn.step()
    other = learner(seed=5)
    other.observe(a_stream(40, seed=5))
    other.step()
    capture = turn.capture(1.0)
    stale = replace(capture, weights=other.snapshot())
    graphs = exporter.export(stale.weights)
    monkeypatch.setattr(exporter, "export", lambda _: graphs)
    held = turn.judge(capture)
    assert isinstance(held, HeldRelease)
    assert held.reasons == (PARITY,)


def test_a_candidate_that_is_worse_than_what_serves_is_held(exporter: GraphExporter) -> None:
    turn = a_turn(exporter)
    settled(turn, exporter, 40)
    reverse_ranker(turn.learner)
    for number in range(40, 60):
        turn.learner.observe(easy_examples(number))
    turn.schedule.retry()
    held = turn.prepare(60.0)
    assert isinstance(held, HeldRelease)
    assert held.reasons == (LOG_LOSS,)


def test_a_regression_is_rolled_back_and_released_at_once(exporter: GraphExporter) -> None:
    turn = a_turn(exporter, interval=0.0)
    settled(turn, exporter)
    under_way = turn.capture(100.0)
    reverse_ranker(turn.learner)
    back = None
    for number in range(100, 300):
        back = turn.observe(easy_examples(number))
        if back is not None:
            break
    assert back == Rollback(HELD, 99)
    assert not turn.is_current(under_way)
    release = released(turn, 100.0)  # no time has passed since the last capture, nothing was learned
    assert turn.is_current(release.capture)


def test_a_turn_that_restarts_goes_on_from_its_state(exporter: GraphExporter) -> None:
    made: list[Learner] = []

    def make() -> Learner:
        made.append(learner())
        return made[-1]

    turn = OnlineTrainer(make, exporter, ReleaseSchedule(0.0))
    turn.observe(a_stream(40))
    turn.step()
    state = turn.learner.state()
    turn.restart(state)
    assert turn.learner is made[-1] is not made[0]
    assert turn.learner.examples == 80
    turn.restart(None)
    assert turn.learner.examples == 0


def test_a_release_waits_for_its_interval_and_for_something_new() -> None:
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


def test_a_release_at_once_waits_for_nothing_but_the_floor() -> None:
    schedule = ReleaseSchedule(10.0, floor=[5, 5])
    schedule.read_through([4, 9])
    schedule.release_now()
    assert not schedule.is_due(0.0)
    schedule.read_through([5, 9])
    assert schedule.is_due(0.0)


def test_a_model_that_learned_from_less_than_the_serving_one_is_not_released() -> None:
    """Also one that went back to a checkpoint within the same life."""
    schedule = ReleaseSchedule(0.0, floor=[5, 50])
    schedule.cap_floor([5, 20])  # the topic is shorter than it was
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
