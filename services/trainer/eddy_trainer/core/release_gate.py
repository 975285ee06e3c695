"""The release gate: a candidate serves only when it is sound and not worse than what serves now, in any scenario.

What got through and proves bad all the same is rolled back: eddy_trainer.core.last_known_good.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite

from eddy.contract.model import PARITY_TOLERANCE
from eddy_trainer.core.progressive import LossComparison

NOT_A_NUMBER = "not_a_number"
PARITY = "parity"
LOG_LOSS = "log_loss"
REASONS_TO_HOLD = (NOT_A_NUMBER, PARITY, LOG_LOSS)
HELD = "held"
REASONS_TO_ROLL_BACK = (LOG_LOSS, HELD)


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """A candidate is worse when its log-loss is higher by more than `tolerance` of the serving one's and by more than `errors`
    standard errors of the paired difference: a gate that noise can close stalls, one without a tolerance closes on nothing.
    Below so many examples and batches nothing is known; of a single scenario, one of many that are asked, below more batches."""

    tolerance: float = 0.02
    errors: float = 4.0
    min_examples: int = 200
    min_batches: int = 10
    min_scenario_batches: int = 30


@dataclass(frozen=True, slots=True)
class ReleaseCandidate:
    """What is known about a release before it is published."""

    finite: bool  # every weight and row is a number
    parity: float  # largest difference between torch and ONNX on the probe batch
    progressive: LossComparison
    by_scenario: Mapping[str, LossComparison] = field(default_factory=dict)


def reasons_to_hold(candidate: ReleaseCandidate, policy: GatePolicy) -> list[str]:
    """Why the candidate must not serve; empty when it may."""
    held = []
    if not candidate.finite:
        held.append(NOT_A_NUMBER)
    if not (isfinite(candidate.parity) and candidate.parity <= PARITY_TOLERANCE):
        held.append(PARITY)
    of_scenario = replace(policy, min_batches=policy.min_scenario_batches)
    worse_somewhere = any(is_worse(seen, of_scenario) for seen in candidate.by_scenario.values())
    if worse_somewhere or is_worse(candidate.progressive, policy):
        held.append(LOG_LOSS)
    return held


def is_worse(seen: LossComparison, policy: GatePolicy) -> bool:
    """Whether the candidate's losses are higher than noise and tolerance explain."""
    if not is_conclusive(seen, policy):
        return False
    allowed = max(policy.tolerance * seen.serving, policy.errors * seen.error)
    return not seen.difference <= allowed


def is_conclusive(seen: LossComparison, policy: GatePolicy) -> bool:
    """Whether there were enough examples to say anything."""
    return seen.count >= policy.min_examples and seen.batches >= policy.min_batches
