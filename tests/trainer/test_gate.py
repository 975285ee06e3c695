"""The release gate holds what is unsound or worse, and nothing else."""

import numpy as np
import pytest

from eddy_trainer.core.gate import LOG_LOSS, NOT_A_NUMBER, PARITY, Candidate, GatePolicy, reasons_to_hold
from eddy_trainer.core.progressive import Comparison, ScenarioWindows, Window

POLICY = GatePolicy()
BATCHES = 40


def judged(worse_by: float, count: int = 2000, seed: int = 0) -> Comparison:
    """A window in which the candidate's losses are `worse_by` higher on average, with noise on each and on each batch."""
    random = np.random.default_rng(seed)
    window = Window(count)
    for _ in range(BATCHES):
        serving = random.gamma(1.0, 0.3, count // BATCHES).astype(np.float32)
        difference = worse_by + random.normal(0, 0.005) + random.normal(0, 0.05, len(serving))
        window.add(serving, (serving + difference).astype(np.float32))
    return window.compare()


@pytest.mark.parametrize(
    ("candidate", "reasons"),
    [
        (Candidate(True, 0.0, judged(0.0)), []),
        (Candidate(True, 0.0, judged(-0.1)), []),
        (Candidate(True, 0.0, Comparison()), []),
        (Candidate(False, 0.0, judged(0.0)), [NOT_A_NUMBER]),
        (Candidate(True, 2e-4, judged(0.0)), [PARITY]),
        (Candidate(True, float("nan"), judged(0.0)), [PARITY]),
        (Candidate(True, 0.0, judged(0.05)), [LOG_LOSS]),
        (Candidate(True, 0.0, Comparison(2000, 40, 0.3, float("nan"), 0.001)), [LOG_LOSS]),
        (Candidate(True, 0.0, judged(0.05, count=100)), []),
        (Candidate(True, 0.0, judged(0.0), {"video": judged(-0.1), "shop": judged(0.05)}), [LOG_LOSS]),
        (Candidate(True, 0.0, judged(0.0), {"video": judged(-0.1), "shop": judged(0.05, count=100)}), []),
        (Candidate(False, float("inf"), judged(0.05)), [NOT_A_NUMBER, PARITY, LOG_LOSS]),
    ],
)
def test_gate_holds(candidate: Candidate, reasons: list[str]) -> None:
    assert reasons_to_hold(candidate, POLICY) == reasons


def test_noise_does_not_close_the_gate() -> None:
    held = [bool(reasons_to_hold(Candidate(True, 0.0, judged(0.0, seed=seed)), POLICY)) for seed in range(300)]
    assert not any(held)


def test_a_real_regression_closes_the_gate_every_time() -> None:
    held = [bool(reasons_to_hold(Candidate(True, 0.0, judged(0.015, seed=seed)), POLICY)) for seed in range(300)]
    assert all(held)


def test_a_scenario_that_nobody_uses_any_more_has_no_say() -> None:
    windows, random = ScenarioWindows(size=2000, memory=10_000), np.random.default_rng(0)
    windows.admit("shop", 1)
    windows.admit("video", 0)
    for _ in range(40):
        losses = random.gamma(1.0, 0.3, 50).astype(np.float32)
        windows.add(np.ones(50, np.int64), losses, losses * 1.3)
    held = []
    for _ in range(300):
        losses = random.gamma(1.0, 0.3, 50).astype(np.float32)
        windows.add(np.zeros(50, np.int64), losses, losses * 0.9)
        held.append(bool(reasons_to_hold(Candidate(True, 0.0, Comparison(), windows.compare()), POLICY)))
    assert held[0]
    assert not held[-1]


def test_a_batch_that_is_worse_as_a_whole_is_one_observation() -> None:
    window = Window(2000)
    for batch in range(20):
        losses = np.full(400 if batch == 7 else 50, 0.3, np.float32)
        window.add(losses, losses * (1.3 if batch == 7 else 1.0))
    seen = window.compare()
    assert seen.difference > POLICY.tolerance * seen.serving
    assert not reasons_to_hold(Candidate(True, 0.0, seen), POLICY)


def test_few_batches_say_nothing() -> None:
    window = Window(2000)
    for _ in range(POLICY.fewest_batches - 1):
        window.add(np.full(500, 0.3, np.float32), np.full(500, 0.9, np.float32))
    assert not reasons_to_hold(Candidate(True, 0.0, window.compare()), POLICY)


def test_window_keeps_the_last_examples() -> None:
    window = Window(10, least_batches=2)
    window.add(np.full(8, 9.0, np.float32), np.full(8, 9.0, np.float32))
    for _ in range(5):
        window.add(np.ones(4, np.float32), np.zeros(4, np.float32))
    seen = window.compare()
    assert (seen.count, seen.serving, seen.candidate) == (12, 1.0, 0.0)
