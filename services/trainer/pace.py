"""How hard to learn, given what waits: replay goes first, then small batches."""

from dataclasses import dataclass
from enum import Enum

from services.trainer.learner import MICRO_BATCH

LARGE_BATCH = 4 * MICRO_BATCH


class Load(Enum):
    """How far behind the trainer is."""

    LIGHT = "light"
    BEHIND = "behind"  # no replay
    FAR_BEHIND = "far_behind"  # no replay, larger batches, fewer steps


@dataclass(frozen=True, slots=True)
class PacePolicy:
    """`learn_within_sec`: longest that an example waits for its batch to fill; lags in waiting examples."""

    learn_within_sec: float = 0.25
    shed_replay_lag: int = 1000
    large_batch_lag: int = 4000


def load_of(waiting: int, policy: PacePolicy) -> Load:
    """The load that `waiting` examples are."""
    if waiting > policy.large_batch_lag:
        return Load.FAR_BEHIND
    return Load.BEHIND if waiting > policy.shed_replay_lag else Load.LIGHT


def is_due(fresh: int, waited_sec: float, load: Load, policy: PacePolicy) -> bool:
    """Whether `fresh` events, the oldest of which waited so long, should be learned from now."""
    if load is Load.FAR_BEHIND:
        return fresh >= LARGE_BATCH
    return fresh >= MICRO_BATCH or (fresh > 0 and waited_sec >= policy.learn_within_sec)
