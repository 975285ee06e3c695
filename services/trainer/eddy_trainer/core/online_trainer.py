"""The trainer's turn: observe, judge, roll back, step, prepare a release through the gate, serve it.

The live trainer and every benchmark that trains the served model in process run this one. No Kafka, clock or metrics in it: time comes
in as values, and what happened is returned as values, which the live trainer turns into metrics, logs and records.
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
    """A step of learning, and the timestamps of the examples that had waited for it."""

    report: StepReport
    timestamps: tuple[Timestamps, ...]


class OnlineTrainer:
    """One learner, the exporter of its graphs and the release gate between them and what serves.

    `judge` reads nothing but the capture it is given, so it may run in another thread while the rest goes on; everything else is called
    one at a time.
    """

    def __init__(self, make_learner: Callable[[], Learner], exporter: GraphExporter, schedule: ReleaseSchedule) -> None:
        self._make_learner = make_learner
        self._exporter = exporter
        self.schedule = schedule
        self.learner = make_learner()
        self._gate = self.learner.gate
        self._life = 0  # how often the learner was rolled back
        self._timestamps: list[Timestamps] = []  # of what was observed and not yet learned from
        self._acted_at = 0
        self.learned_at_ms = 0  # wall clock after the last step, as the caller knows it: for the figures of releases

    def restart(self, state: dict[str, Any] | None) -> None:
        """Go on with a new learner from what Learner.state returned; from nothing without it."""
        self.learner = self._make_learner()
        if state is not None:
            self.learner.restore(state)

    def observe(self, examples: Sequence[Example]) -> Rollback | None:
        """Take examples in and judge on them before anything is learned from them.

        Where the ranker in training has regressed it is rolled back: the former one is to be released at once, and a release that is
        under way is outdated (`is_current`).
        """
        if not examples:
            return None
        self.learner.observe(examples)
        self._timestamps += [example.timestamps for example in examples]
        if not self.learner.regressed():
            return None
        self._life += 1
        back = self.learner.roll_back()
        self.schedule.release_now()
        return back

    def step(self, effort: Effort = Effort.FULL, through: Sequence[int] = ()) -> StepResult:
        """Learn from all that was observed: the examples before the offsets `through`."""
        report = self.learner.step(effort)
        self.schedule.trained(through)
        timestamps, self._timestamps = tuple(self._timestamps), []
        self._acted_at = max(self._acted_at, *(each.acted_at for each in timestamps), 0)
        return StepResult(report, timestamps)

    def capture(self, now: float) -> Capture:
        """What a release is made of, as of now by the schedule's count."""
        self.schedule.captured(now)
        learner, weights = self.learner, self.learner.snapshot()
        quality = {
            f"{scenario}/{metric}": value
            for scenario, figures in learner.quality.figures().items()
            for metric, value in figures.by_name().items()
            if isfinite(value)
        }
        return Capture(
            weights=weights,
            probe=probe_of(learner, weights),
            labels=learner.label_window.compare(),
            lists=learner.next_item_window.compare(),
            by_scenario=learner.scenario_windows.compare(),
            quality=quality,
            trained_through=self.schedule.trained_through,
            examples=learner.examples,
            life=self._life,
            acted_at=self._acted_at,
            learned_at=self.learned_at_ms,
        )

    def judge(self, capture: Capture) -> Release | HeldRelease:
        """Export the graphs, compare them with torch, and ask the gate."""
        graphs = self._exporter.export(capture.weights)
        parity = largest_difference(graphs, capture.weights, capture.probe)
        candidate = ReleaseCandidate(capture.weights.finite(), parity, capture.labels, capture.by_scenario)
        reasons = reasons_to_hold(candidate, self._gate)
        return HeldRelease(capture, tuple(reasons)) if reasons else Release(capture, graphs, parity)

    def prepare(self, now: float) -> Release | HeldRelease | None:
        """`capture` and `judge` at once, when a release is due."""
        return self.judge(self.capture(now)) if self.schedule.is_due(now) else None

    def is_current(self, capture: Capture) -> bool:
        """Whether the learner was not rolled back since: what was captured before must not serve any more."""
        return capture.life == self._life

    def served(self, release: Release, version: int) -> None:
        """The release serves: from now on it is what the ranker in training is compared with."""
        self.learner.set_serving(release.weights, version)
        self.schedule.served(release.capture.trained_through)
