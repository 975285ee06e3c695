"""One cycle of online training: observe, roll back, step, and prepare a release through the release gate.

Shared by the live trainer and all in-process benchmarks. No Kafka, clock or metrics: times are arguments, and results are return values
that the live trainer turns into metrics, logs and records.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from eddy_trainer.core.effort import Effort
from eddy_trainer.core.examples import Example, Timestamps
from eddy_trainer.core.graphs import GraphExporter
from eddy_trainer.core.learner import Learner, Rollback, StepReport
from eddy_trainer.core.parity import largest_difference, probe_of
from eddy_trainer.core.release import Capture, HeldRelease, Release
from eddy_trainer.core.release_gate import ReleaseCandidate, reasons_to_hold
from eddy_trainer.core.release_schedule import ReleaseSchedule


@dataclass(frozen=True, slots=True)
class StepResult:
    """A training step, and the timestamps of the examples that it includes."""

    report: StepReport
    timestamps: tuple[Timestamps, ...]


class OnlineTrainer:
    """A learner, the exporter of its graphs, and the release gate.

    `judge` reads only its capture, so it may run in another thread meanwhile; all other calls are made one at a time.
    """

    def __init__(self, make_learner: Callable[[], Learner], exporter: GraphExporter, schedule: ReleaseSchedule) -> None:
        self._make_learner = make_learner
        self._exporter = exporter
        self.schedule = schedule
        self.learner = make_learner()
        self._gate = self.learner.gate
        self._rollbacks = 0
        self._timestamps: list[Timestamps] = []  # of observed examples that no step includes yet
        self._acted_at = 0
        self.learned_at_ms = 0  # wall clock after the last step, set by the caller; published with releases

    def restart(self, state: dict[str, Any] | None) -> None:
        """Continue with a new learner, restored from the result of Learner.state if given."""
        self.learner = self._make_learner()
        if state is not None:
            self.learner.restore(state)

    def observe(self, examples: Sequence[Example]) -> Rollback | None:
        """Evaluate the models on new examples, before training on them.

        An encoder or a ranker in training that has regressed is rolled back: a release is then due at once, and captures from before are
        outdated (`is_current`).
        """
        if not examples:
            return None
        self.learner.observe(examples)
        self._timestamps += [example.timestamps for example in examples]
        if not self.learner.regressed():
            return None
        self._rollbacks += 1
        rollback = self.learner.roll_back()
        self.schedule.release_now()
        return rollback

    def step(self, effort: Effort = Effort.FULL, through: Sequence[int] = ()) -> StepResult:
        """Train on all observed examples, which are those before the offsets `through`."""
        report = self.learner.step(effort)
        self.schedule.trained(through)
        timestamps, self._timestamps = tuple(self._timestamps), []
        self._acted_at = max(self._acted_at, *(each.acted_at for each in timestamps), 0)
        return StepResult(report, timestamps)

    def capture(self, now: float) -> Capture:
        """Capture the contents of a release. `now` is in the schedule's unit."""
        self.schedule.captured(now)
        learner, weights = self.learner, self.learner.snapshot()
        quality = {
            f"{scenario}/{metric}": value
            for scenario, figures in learner.quality.figures().items()
            for metric, value in figures.by_name().items()
            if isfinite(value)
        }
        for group, encoder in learner.encoder_judge.figures().items():
            quality |= {f"{group.name}/{metric}": value for metric, value in encoder.by_name().items()}
        return Capture(
            weights=weights,
            probe=probe_of(learner, weights),
            labels=learner.label_window.compare(),
            next_items=learner.next_item_window.compare(),
            by_scenario=learner.scenario_windows.compare(),
            encoder=learner.encoder_judge.compare(),
            quality=quality,
            trained_through=self.schedule.trained_through,
            examples=learner.examples,
            rollbacks=self._rollbacks,
            acted_at=self._acted_at,
            learned_at=self.learned_at_ms,
        )

    def judge(self, capture: Capture) -> Release | HeldRelease:
        """Export the graphs, compare them with PyTorch, and apply the release gate."""
        graphs = self._exporter.export(capture.weights)
        parity = largest_difference(graphs, capture.weights, capture.probe)
        candidate = ReleaseCandidate(
            capture.weights.finite(), parity, capture.labels, capture.by_scenario, capture.encoder
        )
        reasons = reasons_to_hold(candidate, self._gate)
        return HeldRelease(capture, tuple(reasons)) if reasons else Release(capture, graphs, parity)

    def prepare(self, now: float) -> Release | HeldRelease | None:
        """Capture and judge a release if one is due."""
        return self.judge(self.capture(now)) if self.schedule.is_due(now) else None

    def is_current(self, capture: Capture) -> bool:
        """Whether there was no rollback since the capture. Captures from before a rollback must not be released."""
        return capture.rollbacks == self._rollbacks

    def served(self, release: Release, version: int) -> None:
        """Record that a release serves: the model in training is compared with it from now on."""
        self.learner.set_serving(release.weights, version)
        self.schedule.served(release.capture.trained_through)
