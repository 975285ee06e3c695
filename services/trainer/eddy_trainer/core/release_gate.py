"""The release gate: a candidate is released only if it is sound and no worse than the serving release in any scenario.

A release that passes and turns out worse is rolled back: eddy_trainer.core.last_known_good.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite

from eddy.contract.model import PARITY_TOLERANCE
from eddy_trainer.core.progressive import LossComparison

NOT_A_NUMBER = "not_a_number"
PARITY = "parity"
LOG_LOSS = "log_loss"
ENCODER_LOSS = "encoder_loss"
REASONS_TO_HOLD = (NOT_A_NUMBER, PARITY, LOG_LOSS, ENCODER_LOSS)
HELD = "held"
REASONS_TO_ROLL_BACK = (LOG_LOSS, ENCODER_LOSS, HELD)


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """A candidate is worse if its log-loss exceeds the serving one's by more than `tolerance` (relative) and by more than
    `standard_errors` of the paired difference. Either bound alone would hold releases back: for noise, or for irrelevant differences.

    Windows with fewer examples or batches are inconclusive. Single scenarios need more batches, because many are compared at once.
    """

    tolerance: float = 0.02
    standard_errors: float = 4.0
    min_examples: int = 200
    min_batches: int = 10
    min_scenario_batches: int = 30


@dataclass(frozen=True, slots=True)
class ReleaseCandidate:
    """Measurements of a release before it is published."""

    finite: bool  # no weight or item vector is NaN or infinite
    parity: float  # largest difference between PyTorch and ONNX Runtime on the probe
    progressive: LossComparison
    by_scenario: Mapping[str, LossComparison] = field(default_factory=dict)
    encoder: Mapping[str, LossComparison] = field(default_factory=dict)  # by scenario and group of users


def reasons_to_hold(candidate: ReleaseCandidate, policy: GatePolicy) -> list[str]:
    """Return the reasons to hold the candidate back, empty if it may be released."""
    reasons = []
    if not candidate.finite:
        reasons.append(NOT_A_NUMBER)
    if not (isfinite(candidate.parity) and candidate.parity <= PARITY_TOLERANCE):
        reasons.append(PARITY)
    of_scenario = replace(policy, min_batches=policy.min_scenario_batches)
    worse_somewhere = any(is_worse(comparison, of_scenario) for comparison in candidate.by_scenario.values())
    if worse_somewhere or is_worse(candidate.progressive, policy):
        reasons.append(LOG_LOSS)
    if any(is_worse(comparison, of_scenario) for comparison in candidate.encoder.values()):
        reasons.append(ENCODER_LOSS)
    return reasons


def is_worse(comparison: LossComparison, policy: GatePolicy) -> bool:
    """Whether the candidate's loss is higher than tolerance and noise explain."""
    if not is_conclusive(comparison, policy):
        return False
    allowed = max(policy.tolerance * comparison.serving, policy.standard_errors * comparison.error)
    return not comparison.difference <= allowed


def is_conclusive(comparison: LossComparison, policy: GatePolicy) -> bool:
    """Whether the comparison covers enough examples and batches."""
    return comparison.count >= policy.min_examples and comparison.batches >= policy.min_batches
