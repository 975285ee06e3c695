"""Training effort by lag: rehearsal is shed first, then small batches and most ranker steps."""

from dataclasses import dataclass
from enum import Enum

MICRO_BATCH = 256
LARGE_BATCH = 4 * MICRO_BATCH


class Effort(Enum):
    """Amount of work in a training step."""

    FULL = "full"
    NO_REHEARSAL = "no_rehearsal"  # one encoder step, on users with new events only
    MINIMAL = "minimal"  # the same with larger batches and a quarter of the ranker steps


@dataclass(frozen=True, slots=True)
class PacePolicy:
    """`learn_within_sec` is the maximum time that an example waits for its batch to fill; lags are numbers of examples."""

    learn_within_sec: float = 0.15
    shed_rehearsal_lag: int = 1000
    large_batch_lag: int = 4000


def effort_for(lag: int, policy: PacePolicy) -> Effort:
    """Return the effort at a lag of `lag` examples."""
    if lag > policy.large_batch_lag:
        return Effort.MINIMAL
    return Effort.NO_REHEARSAL if lag > policy.shed_rehearsal_lag else Effort.FULL


def is_due(untrained: int, waited_sec: float, effort: Effort, policy: PacePolicy) -> bool:
    """Whether to train now on `untrained` events, the oldest of which has waited for `waited_sec`."""
    if effort is Effort.MINIMAL:
        return untrained >= LARGE_BATCH
    return untrained >= MICRO_BATCH or (untrained > 0 and waited_sec >= policy.learn_within_sec)
