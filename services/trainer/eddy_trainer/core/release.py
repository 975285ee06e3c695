"""A release on its way: what it is made of, and what the release gate said about it."""

from collections.abc import Mapping
from dataclasses import dataclass

from eddy_trainer.core.graphs import Graphs
from eddy_trainer.core.learner import Weights
from eddy_trainer.core.parity import Probe
from eddy_trainer.core.progressive import LossComparison


@dataclass(frozen=True, slots=True)
class Capture:
    """What a release is made of, at one moment: nothing in it changes while training goes on."""

    weights: Weights
    probe: Probe
    labels: LossComparison
    lists: LossComparison
    by_scenario: Mapping[str, LossComparison]
    quality: Mapping[str, float]  # progressive, of the model that serves, by scenario and metric
    trained_through: tuple[int, ...]
    examples: int
    life: int  # how often the learner had been rolled back
    acted_at: int  # wall clock in milliseconds: the newest action that was learned from, and when it was
    learned_at: int

    def metrics(self) -> dict[str, float]:
        """The figures that a release says of itself; also what is logged of one that was held."""
        by_scenario = {f"{scenario}/log_loss": each.candidate for scenario, each in self.by_scenario.items()}
        return {
            "progressive_log_loss": self.labels.candidate,
            "progressive_log_loss_serving": self.labels.serving,
            "progressive_next_item_loss": self.lists.candidate,
            "judged_examples": float(self.labels.count),
            "examples": float(self.examples),
            "acted_at": float(self.acted_at),
            **by_scenario,
            **self.quality,
        }


@dataclass(frozen=True, slots=True)
class Release:
    """A capture that passed the release gate, as graphs that compute what torch does."""

    capture: Capture
    graphs: Graphs
    parity: float  # largest difference between torch and ONNX on the probe

    @property
    def weights(self) -> Weights:
        return self.capture.weights

    def metrics(self) -> dict[str, float]:
        """The figures that the release record carries."""
        return self.capture.metrics() | {"parity": self.parity}


@dataclass(frozen=True, slots=True)
class HeldRelease:
    """A capture that must not serve. `reasons`: some of eddy_trainer.core.release_gate.REASONS_TO_HOLD, at least one."""

    capture: Capture
    reasons: tuple[str, ...]
