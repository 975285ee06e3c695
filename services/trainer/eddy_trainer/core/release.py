"""A release before publication: its contents, and the decision of the release gate."""

from collections.abc import Mapping
from dataclasses import dataclass

from eddy_trainer.core.graphs import Graphs
from eddy_trainer.core.learner import Weights
from eddy_trainer.core.parity import Probe
from eddy_trainer.core.progressive import LossComparison


@dataclass(frozen=True, slots=True)
class Capture:
    """The contents of a release at one moment; nothing in it changes while training continues."""

    weights: Weights
    probe: Probe
    labels: LossComparison
    next_items: LossComparison
    by_scenario: Mapping[str, LossComparison]
    encoder: Mapping[str, LossComparison]  # by scenario and group of users
    quality: Mapping[str, float]  # progressive validation of the serving model, by scenario and metric
    trained_through: tuple[int, ...]
    examples: int
    rollbacks: int  # number of rollbacks before it
    acted_at: int  # wall clock in milliseconds: the newest action in training, and the last step
    learned_at: int

    def metrics(self) -> dict[str, float]:
        """Return the figures that are published with a release and logged for one that is held back."""
        by_scenario = {f"{scenario}/log_loss": each.candidate for scenario, each in self.by_scenario.items()}
        encoder = {f"{group}/encoder_loss": each.candidate for group, each in self.encoder.items()}
        return {
            "progressive_log_loss": self.labels.candidate,
            "progressive_log_loss_serving": self.labels.serving,
            "progressive_next_item_loss": self.next_items.candidate,
            "judged_examples": float(self.labels.count),
            "examples": float(self.examples),
            "acted_at": float(self.acted_at),
            **by_scenario,
            **encoder,
            **self.quality,
        }


@dataclass(frozen=True, slots=True)
class Release:
    """A capture that passed the release gate, and its graphs."""

    capture: Capture
    graphs: Graphs
    parity: float  # largest difference between PyTorch and ONNX Runtime on the probe

    @property
    def weights(self) -> Weights:
        return self.capture.weights

    def metrics(self) -> dict[str, float]:
        """Return the `metrics` of the release record."""
        return self.capture.metrics() | {"parity": self.parity}


@dataclass(frozen=True, slots=True)
class HeldRelease:
    """A capture that the release gate holds back, for at least one of eddy_trainer.core.release_gate.REASONS_TO_HOLD."""

    capture: Capture
    reasons: tuple[str, ...]
