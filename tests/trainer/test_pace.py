"""What gives way under load."""

import pytest

from services.trainer.learner import MICRO_BATCH
from services.trainer.pace import LARGE_BATCH, Load, PacePolicy, is_due, load_of

POLICY = PacePolicy(learn_within_sec=0.25, shed_replay_lag=100, large_batch_lag=1000)


@pytest.mark.parametrize(("waiting", "load"), [(0, Load.LIGHT), (101, Load.BEHIND), (1001, Load.FAR_BEHIND)])
def test_lag_sheds_replay_first_then_small_batches(waiting: int, load: Load) -> None:
    assert load_of(waiting, POLICY) is load


@pytest.mark.parametrize(
    ("fresh", "waited", "load", "due"),
    [
        (0, 9.0, Load.LIGHT, False),
        (1, 0.1, Load.LIGHT, False),
        (1, 0.25, Load.LIGHT, True),
        (MICRO_BATCH, 0.0, Load.LIGHT, True),
        (MICRO_BATCH, 9.0, Load.FAR_BEHIND, False),
        (LARGE_BATCH, 0.0, Load.FAR_BEHIND, True),
    ],
)
def test_learning_is_due_by_number_or_by_time(fresh: int, waited: float, load: Load, due: bool) -> None:
    assert is_due(fresh, waited, load, POLICY) is due
