"""The release gate holds back candidates that are unsound or worse, and no others."""

import numpy as np
import pytest

from eddy_trainer.core.progressive import LossComparison, LossWindow, ScenarioLossWindows
from eddy_trainer.core.release_gate import LOG_LOSS, NOT_A_NUMBER, PARITY, GatePolicy, ReleaseCandidate, reasons_to_hold

POLICY = GatePolicy()
BATCHES = 40


def compared(worse_by: float, count: int = 2000, seed: int = 0) -> LossComparison:
    """Compare over a window in which the candidate's losses are higher by `worse_by` on average, with noise per example and per batch."""
    random = np.random.default_rng(seed)
    window = LossWindow(count)
    for _ in range(BATCHES):
        serving = random.gamma(1.0, 0.3, count // BATCHES).astype(np.float32)
        difference = worse_by + random.normal(0, 0.005) + random.normal(0, 0.05, len(serving))
        window.add(serving, (serving + difference).astype(np.float32))
    return window.compare()


@pytest.mark.parametrize(
    ("candidate", "reasons"),
    [
        (ReleaseCandidate(True, 0.0, compared(0.0)), []),
        (ReleaseCandidate(True, 0.0, compared(-0.1)), []),
        (ReleaseCandidate(True, 0.0, LossComparison()), []),
        (ReleaseCandidate(False, 0.0, compared(0.0)), [NOT_A_NUMBER]),
        (ReleaseCandidate(True, 2e-4, compared(0.0)), [PARITY]),
        (ReleaseCandidate(True, float("nan"), compared(0.0)), [PARITY]),
        (ReleaseCandidate(True, 0.0, compared(0.05)), [LOG_LOSS]),
        (ReleaseCandidate(True, 0.0, LossComparison(2000, 40, 0.3, float("nan"), 0.001)), [LOG_LOSS]),
        (ReleaseCandidate(True, 0.0, compared(0.05, count=100)), []),
        (ReleaseCandidate(True, 0.0, compared(0.0), {"video": compared(-0.1), "shop": compared(0.05)}), [LOG_LOSS]),
        (ReleaseCandidate(True, 0.0, compared(0.0), {"video": compared(-0.1), "shop": compared(0.05, count=100)}), []),
        (ReleaseCandidate(False, float("inf"), compared(0.05)), [NOT_A_NUMBER, PARITY, LOG_LOSS]),
    ],
)
def test_reasons_to_hold(candidate: ReleaseCandidate, reasons: list[str]) -> None:
    assert reasons_to_hold(candidate, POLICY) == reasons


def test_noise_does_not_hold_back_a_release() -> None:
    refusals = [
        bool(reasons_to_hold(ReleaseCandidate(True, 0.0, compared(0.0, seed=seed)), POLICY)) for seed in range(300)
    ]
    assert not any(refusals)


def test_a_regression_is_always_held_back() -> None:
    refusals = [
        bool(reasons_to_hold(ReleaseCandidate(True, 0.0, compared(0.015, seed=seed)), POLICY)) for seed in range(300)
    ]
    assert all(refusals)


def test_a_scenario_without_traffic_has_no_influence() -> None:
    windows, random = ScenarioLossWindows(size=2000, memory=10_000), np.random.default_rng(0)
    windows.add_scenario("shop", 1)
    windows.add_scenario("video", 0)
    for _ in range(40):
        losses = random.gamma(1.0, 0.3, 50).astype(np.float32)
        windows.add(np.ones(50, np.int64), losses, losses * 1.3)
    refusals = []
    for _ in range(300):
        losses = random.gamma(1.0, 0.3, 50).astype(np.float32)
        windows.add(np.zeros(50, np.int64), losses, losses * 0.9)
        refusals.append(bool(reasons_to_hold(ReleaseCandidate(True, 0.0, LossComparison(), windows.compare()), POLICY)))
    assert refusals[0]
    assert not refusals[-1]


def test_a_batch_that_is_worse_as_a_whole_counts_as_one_observation() -> None:
    window = LossWindow(2000)
    for batch in range(20):
        losses = np.full(400 if batch == 7 else 50, 0.3, np.float32)
        window.add(losses, losses * (1.3 if batch == 7 else 1.0))
    comparison = window.compare()
    assert comparison.difference > POLICY.tolerance * comparison.serving
    assert not reasons_to_hold(ReleaseCandidate(True, 0.0, comparison), POLICY)


def test_few_batches_are_inconclusive() -> None:
    window = LossWindow(2000)
    for _ in range(POLICY.min_batches - 1):
        window.add(np.full(500, 0.3, np.float32), np.full(500, 0.9, np.float32))
    assert not reasons_to_hold(ReleaseCandidate(True, 0.0, window.compare()), POLICY)


def test_window_keeps_the_last_examples() -> None:
    window = LossWindow(10, min_batches=2)
    window.add(np.full(8, 9.0, np.float32), np.full(8, 9.0, np.float32))
    for _ in range(5):
        window.add(np.ones(4, np.float32), np.zeros(4, np.float32))
    comparison = window.compare()
    assert (comparison.count, comparison.serving, comparison.candidate) == (12, 1.0, 0.0)
