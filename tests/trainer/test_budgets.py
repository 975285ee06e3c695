"""What newcomers, users, items and hours may teach is bounded."""

from typing import Any

import numpy as np
import pytest

from eddy.contract.trust import (
    HOUR_MS,
    KNOWN_FROM,
    MIN_RATIO,
    UNCONFIRMED,
    UNKNOWN_UNTIL,
    counted_share,
    knownness,
    newcomer_ratio,
)
from eddy_trainer.core.budgets import UNBOUNDED, BudgetPolicy, TeachingBudgets
from tests.trainer.factories import VIDEO, learner, next_item

NOBODY = np.zeros(0, np.int64)
KNOWN = np.arange(100, 100 + KNOWN_FROM), np.arange(KNOWN_FROM)  # rows and times of a known user's interactions


def budgets(**policy: Any) -> TeachingBudgets:
    return TeachingBudgets(BudgetPolicy(**policy), seed=0)


def taught(budget: TeachingBudgets, row: int, events: int, by: Any = (NOBODY, NOBODY), at: int = HOUR_MS) -> int:
    """Return how many of `events`, each by another user with the same past, are taught."""
    return sum(budget.admits(row, VIDEO, at, *by) for _ in range(events))


def test_a_user_becomes_known_by_distinct_items_and_earlier_days() -> None:
    assert [knownness(items, 0) for items in (0, UNKNOWN_UNTIL, 15, KNOWN_FROM, 500)] == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert knownness(12, 3) == knownness(15, 0)


def test_known_users_teach_in_full() -> None:
    assert taught(budgets(), 1, 300, KNOWN) == 300


def test_thousands_of_newcomers_teach_hardly_more_than_a_few() -> None:
    assert MIN_RATIO * UNCONFIRMED <= taught(budgets(), 1, 5000) <= 5 * UNCONFIRMED


def test_newcomers_teach_as_far_as_known_users_confirm() -> None:
    budget = budgets()
    taught(budget, 1, 100, KNOWN)
    assert 200 <= taught(budget, 1, 5000) <= 220


def test_a_scenario_of_newcomers_still_learns() -> None:
    """Where hardly anybody returns, an item may have twice as many newcomers as the usual one."""
    budget, rows = budgets(newcomers_per_hour=100_000), np.random.default_rng(0).integers(1, 50, 20_000)
    by_row = np.bincount(rows[[budget.admits(row, VIDEO, HOUR_MS, NOBODY, NOBODY) for row in rows.tolist()]])
    before = int(by_row.sum())
    assert before > 1000
    assert taught(budget, 60, 5000) < 3 * np.median(by_row[1:])


@pytest.mark.parametrize("items", [3, 12, 40, 400])
def test_a_shop_in_which_nobody_is_known_yet_learns_from_its_start(items: int) -> None:
    """At most some hundred interactions are lost, then only the budget of the hour counts."""
    budget, rows = budgets(), np.random.default_rng(1).integers(1, items + 1, 1500)
    admitted = [budget.admits(row, VIDEO, HOUR_MS, NOBODY, NOBODY) for row in rows.tolist()]
    assert sum(admitted[:100]) >= min(items, 15) * UNCONFIRMED / 2
    assert sum(admitted[:700]) > 550
    assert sum(admitted) <= BudgetPolicy().newcomers_per_hour


def test_a_repeat_teaches_less_and_less() -> None:
    budget, rows = budgets(), KNOWN[0]
    total = 0
    for _ in range(500):
        total += budget.admits(7, VIDEO, 10 * HOUR_MS, rows, np.zeros(len(rows), np.int64))
        rows = np.append(rows, 7)
    assert total < 15


def test_one_user_teaches_a_bounded_number_an_hour() -> None:
    budget, rows, times = budgets(user_per_hour=50), *KNOWN
    total = 0
    for row in range(1000, 1500):
        total += budget.admits(row, VIDEO, 2 * HOUR_MS, rows[-200:], times[-200:])
        rows, times = np.append(rows, row), np.append(times, 2 * HOUR_MS)
    assert 100 < total < 250


def test_an_hour_of_newcomers_teaches_a_bounded_number() -> None:
    budget = budgets(newcomers_per_hour=100)
    assert sum(taught(budget, row, 1) for row in range(1, 1001)) == 100
    assert sum(taught(budget, row, 1, at=2 * HOUR_MS) for row in range(1001, 2001)) >= 100


def test_without_budgets_everything_is_taught() -> None:
    assert taught(TeachingBudgets(UNBOUNDED, seed=0), 1, 5000) == 5000


def test_the_usual_ratio_is_not_moved_by_one_item() -> None:
    known, newcomers = np.full(50, 20.0), np.full(50, 5.0)
    before = newcomer_ratio(known, newcomers)
    newcomers[0] = 1e6
    assert newcomer_ratio(known, newcomers) == before


@pytest.mark.parametrize(
    ("known", "newcomers", "counted"),
    [(0, 3, 3), (0, 1e6, 18), (100, 50, 150), (100, 200, 300), (100, 1e6, 314), (100, 0, 100), (0, 0, 0)],
)
def test_newcomers_count_as_far_as_known_users_confirm(known: float, newcomers: float, counted: float) -> None:
    interactions = known + newcomers
    assert interactions * counted_share(interactions, newcomers) == pytest.approx(counted, abs=1)


def test_fake_users_move_neither_weights_nor_sequences_that_are_rehearsed() -> None:
    """The attack makes no more gradient steps than its few admitted events are worth."""
    trainee = learner(users_per_step=16, budgets=BudgetPolicy())
    trainee.observe([next_item(f"u{number % 20}", f"i{number % 29}", number * 1000) for number in range(400)])
    trainee.step()
    trainee.observe([next_item(f"fake{number}", "i29", 400_000 + number) for number in range(2000)])
    assert trainee.encoder.untrained_events <= 20
    sampled = trainee.encoder.sequences.sample(2000, np.random.default_rng(0))
    assert len(sampled) <= 20 + 20


def test_without_budgets_fake_users_teach_everything() -> None:
    trainee = learner(budgets=UNBOUNDED)
    trainee.observe([next_item(f"fake{number}", "i29", number) for number in range(2000)])
    assert trainee.encoder.untrained_events == 2000
