"""How hard to learn, given what waits: replay goes first, then small batches and most of the ranker's steps."""

from dataclasses import dataclass
from enum import Enum

MICRO_BATCH = 256
LARGE_BATCH = 4 * MICRO_BATCH


class Effort(Enum):
    """What a turn of learning does."""

    FULL = "full"
    NO_REHEARSAL = "no_replay"  # the encoder learns from users with fresh events alone, in one step
    MINIMAL = "least"  # the same on larger batches, and a quarter of the ranker's steps


@dataclass(frozen=True, slots=True)
class PacePolicy:
    """`learn_within_sec`: longest that an example waits for its batch to fill; lags in waiting examples."""

    learn_within_sec: float = 0.15
    shed_rehearsal_lag: int = 1000
    large_batch_lag: int = 4000


def effort_for(waiting: int, policy: PacePolicy) -> Effort:
    """What is affordable while so many examples wait."""
    if waiting > policy.large_batch_lag:
        return Effort.MINIMAL
    return Effort.NO_REHEARSAL if waiting > policy.shed_rehearsal_lag else Effort.FULL


def is_due(fresh: int, waited_sec: float, effort: Effort, policy: PacePolicy) -> bool:
    """Whether `fresh` events, the oldest of which waited so long, should be learned from now."""
    if effort is Effort.MINIMAL:
        return fresh >= LARGE_BATCH
    return fresh >= MICRO_BATCH or (fresh > 0 and waited_sec >= policy.learn_within_sec)
