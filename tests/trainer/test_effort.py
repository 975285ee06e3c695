"""What is shed under lag, and when a batch is due."""

import pytest

from eddy_trainer.core.effort import LARGE_BATCH, MICRO_BATCH, Effort, PacePolicy, effort_for, is_due

POLICY = PacePolicy(learn_within_sec=0.25, shed_rehearsal_lag=100, large_batch_lag=1000)


@pytest.mark.parametrize(("lag", "effort"), [(0, Effort.FULL), (101, Effort.NO_REHEARSAL), (1001, Effort.MINIMAL)])
def test_lag_sheds_rehearsal_first_then_small_batches(lag: int, effort: Effort) -> None:
    assert effort_for(lag, POLICY) is effort


@pytest.mark.parametrize(
    ("untrained", "waited", "effort", "due"),
    [
        (0, 9.0, Effort.FULL, False),
        (1, 0.1, Effort.FULL, False),
        (1, 0.25, Effort.FULL, True),
        (MICRO_BATCH, 0.0, Effort.FULL, True),
        (MICRO_BATCH, 9.0, Effort.MINIMAL, False),
        (LARGE_BATCH, 0.0, Effort.MINIMAL, True),
    ],
)
def test_training_is_due_by_number_or_by_time(untrained: int, waited: float, effort: Effort, due: bool) -> None:
    assert is_due(untrained, waited, effort, POLICY) is due
