"""Benchmarks in one process pass the release gate: releases are held back and rolled back as in the live trainer."""

import math
from io import StringIO

import pytest
import torch
from rich.console import Console

from eddy.contract.scenarios import load_scenarios
from eddy.paths import REPO_ROOT
from eddy_lab.evaluate import loop as in_process
from eddy_lab.evaluate import trainer_process
from eddy_lab.evaluate.benchmarks.loop import run_loop
from eddy_lab.evaluate.loop import EvaluationLoopPolicy
from eddy_lab.evaluate.releases import ReleaseCounts
from eddy_lab.evaluate.result import BenchmarkResult
from eddy_lab.evaluate.trainer_process import TrainerSetup, learn, make_trainer
from eddy_trainer.core.effort import Effort
from eddy_trainer.core.graphs import GraphExporter
from eddy_trainer.core.learner import ItemContent, Learner, LearnerPolicy, StepReport
from eddy_trainer.core.online_trainer import OnlineTrainer
from eddy_trainer.core.ranker_training import RankerPolicy
from eddy_trainer.core.release import Capture, HeldRelease
from eddy_trainer.core.release_gate import NOT_A_NUMBER, PARITY
from eddy_trainer.settings import TrainerSettings
from tests.lab.factories import walks
from tests.trainer.factories import a_stream, easy_examples
from tests.trainer.regressing import RegressingLearner

pytestmark = pytest.mark.slow

GRAPHS = TrainerSettings.model_fields["trainer_graphs_dir"].default
SCENARIOS = load_scenarios(REPO_ROOT / "scenarios.yaml")
ITEMS = [ItemContent(f"i{number}") for number in range(30)]
RECORDS_PER_EVENT = 2  # an impression and an interaction


def evaluate(exporter: GraphExporter, events: int) -> BenchmarkResult:
    return run_loop(walks(0, events), exporter, LearnerPolicy(0), SCENARIOS, Console(file=StringIO()))


class _DivergingLearner(Learner):
    """After `diverges_after` examples, every step sets a weight to NaN."""

    diverges_after = 600

    def step(self, effort: Effort = Effort.FULL) -> StepReport:
        report = super().step(effort)
        if self.examples >= self.diverges_after:
            with torch.no_grad():
                self.ranker.ranker.score[0] = math.nan
        return report


def test_a_model_with_nan_weights_never_serves(exporter: GraphExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_process, "Learner", _DivergingLearner)
    result = evaluate(exporter, 1000)
    due = RECORDS_PER_EVENT * 1000 // EvaluationLoopPolicy().events_per_release
    assert 1 <= result.details["releases"] < due
    assert result.details["held"][NOT_A_NUMBER] == due - result.details["releases"]
    assert result.details["ledger"]["positive"] > 0


def test_a_regressed_ranker_is_rolled_back_and_released_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_process, "Learner", RegressingLearner)
    monkeypatch.setattr(RegressingLearner, "regresses_after", 100 * 40)
    policy = LearnerPolicy(ranker=RankerPolicy(warm_up_candidate_sets=1))
    trainer, counts = make_trainer(TrainerSetup(SCENARIOS, policy, ITEMS, GRAPHS, "")), ReleaseCounts()
    for batch in range(1, 300):
        release = learn(trainer, easy_examples(batch), batch, counts)
        if counts.rolled_back:
            break
    assert batch > 100
    assert sum(counts.rolled_back.values()) == 1
    assert release is not None
    assert trainer.is_current(release.capture)


def test_held_releases_are_counted_and_do_not_serve(exporter: GraphExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    def hold(_: OnlineTrainer, capture: Capture) -> HeldRelease:
        return HeldRelease(capture, (PARITY,))

    monkeypatch.setattr(OnlineTrainer, "judge", hold)
    result = evaluate(exporter, 600)
    assert (result.details["releases"], result.details["held"]) == (
        0,
        {PARITY: RECORDS_PER_EVENT * 600 // EvaluationLoopPolicy().events_per_release},
    )


def test_the_trainer_of_a_stream_passes_the_gate() -> None:
    trainer, counts = make_trainer(TrainerSetup(SCENARIOS, LearnerPolicy(), ITEMS, GRAPHS, "")), ReleaseCounts()
    released = learn(trainer, a_stream(40), 1, counts)
    assert released is not None
    with torch.no_grad():
        trainer.learner.ranker.ranker.score[0] = math.nan
    assert learn(trainer, a_stream(40, seed=1), 2, counts) is None
    assert counts.released == 1
    assert counts.held[NOT_A_NUMBER] == 1
    assert counts.as_dict()["held"].keys() == {NOT_A_NUMBER, PARITY}
