"""What gives way under load."""

import pytest

from eddy_trainer.core.effort import LARGE_BATCH, MICRO_BATCH, Effort, PacePolicy, effort_for, is_due

POLICY = PacePolicy(learn_within_sec=0.25, shed_rehearsal_lag=100, large_batch_lag=1000)


@pytest.mark.parametrize(("waiting", "effort"), [(0, Effort.FULL), (101, Effort.NO_REHEARSAL), (1001, Effort.MINIMAL)])
def test_lag_sheds_replay_first_then_small_batches(waiting: int, effort: Effort) -> None:
    assert effort_for(waiting, POLICY) is effort


@pytest.mark.parametrize(
    ("fresh", "waited", "effort", "due"),
    [
        (0, 9.0, Effort.FULL, False),
        (1, 0.1, Effort.FULL, False),
        (1, 0.25, Effort.FULL, True),
        (MICRO_BATCH, 0.0, Effort.FULL, True),
        (MICRO_BATCH, 9.0, Effort.MINIMAL, False),
        (LARGE_BATCH, 0.0, Effort.MINIMAL, True),
    ],
)
def test_learning_is_due_by_number_or_by_time(fresh: int, waited: float, effort: Effort, due: bool) -> None:
    assert is_due(fresh, waited, effort, POLICY) is due
