"""What newcomers, users, items and hours may teach is bounded."""

from typing import Any

import numpy as np
import pytest

from eddy.contract.trust import (
    BASE_HOUR,
    DAY_MS,
    GROWTH,
    HOUR_MS,
    KNOWN_FROM,
    LATE_MS,
    MIN_HOURS,
    MIN_RATIO,
    OF_AGE_MS,
    OFFSET,
    RATIO_HOUR,
    UNKNOWN_UNTIL,
    Counted,
    age_start,
    knownness,
    newcomer_ratio,
    newcomer_share,
)
from eddy_trainer.core.budgets import UNBOUNDED, BudgetPolicy, TeachingBudgets
from eddy_trainer.core.sequences import NO_PAST, Past
from tests.trainer.factories import VIDEO, learner, next_item

_NOW = 10 * DAY_MS


def past(items: int, age_ms: int) -> Past:
    """Return the past of a user with this number of items, the first of them `age_ms` ago."""
    times = _NOW - np.linspace(age_ms, 2 * HOUR_MS, items).astype(np.int64)
    return Past(np.arange(100, 100 + items), times, times)


KNOWN = past(KNOWN_FROM, OF_AGE_MS)


def budgets(**policy: Any) -> TeachingBudgets:
    """Return the budgets of a log in which users may be of age."""
    budget = young_budgets(**policy)
    budget.log.include(0)
    return budget


def young_budgets(**policy: Any) -> TeachingBudgets:
    return TeachingBudgets(BudgetPolicy(**policy), seed=0)


def taught(budget: TeachingBudgets, row: int, events: int, by: Past = NO_PAST, at: int = _NOW) -> int:
    """Return how many of `events`, each by another user with the same past, are taught."""
    return sum(budget.admits(row, VIDEO, at, by) for _ in range(events))


def test_a_user_becomes_known_by_distinct_items_and_age() -> None:
    items = (0, UNKNOWN_UNTIL, 15, KNOWN_FROM, 500)
    assert [knownness(number, OF_AGE_MS) for number in items] == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert [knownness(500, age) for age in (0, OF_AGE_MS - 1)] == [0.0, 0.0]


def test_nobody_is_of_age_within_a_day_whatever_a_device_says() -> None:
    """The first event claims to be a year old; a later one moves the clock a day ahead, which is the most that the log takes."""
    since = age_start(_NOW - 365 * DAY_MS, _NOW)
    assert since == _NOW - LATE_MS
    assert knownness(500, _NOW + DAY_MS - since) == 0.0
    assert age_start(_NOW - HOUR_MS, _NOW) == _NOW - HOUR_MS


def test_known_users_teach_in_full() -> None:
    assert taught(budgets(), 1, 300, KNOWN) == 300


def test_thousands_of_newcomers_teach_hardly_more_than_a_few() -> None:
    assert 1 <= taught(budgets(), 1, 5000) <= 6


def test_bots_with_long_histories_of_today_are_newcomers() -> None:
    assert taught(budgets(), 1, 300, past(60, HOUR_MS * 20)) <= 6


def test_thousands_of_newcomers_teach_hardly_more_over_days() -> None:
    budget = budgets()
    by_hour = [taught(budget, 1, 100, at=_NOW + hour * HOUR_MS) for hour in range(5 * 24)]
    assert sum(by_hour[:24]) > 12
    assert MIN_RATIO * OFFSET <= sum(by_hour) <= MIN_RATIO * OFFSET + 6


def test_newcomers_teach_as_far_as_known_users_confirm() -> None:
    budget = budgets()
    taught(budget, 1, 20, KNOWN)
    assert 20 * RATIO_HOUR <= taught(budget, 1, 5000) <= 20 * RATIO_HOUR + 60


def test_a_scenario_of_newcomers_still_learns() -> None:
    """Where hardly anybody returns, an item may have twice as many newcomers as the usual one."""
    budget, rows = young_budgets(newcomers_per_hour=100_000), np.random.default_rng(0).integers(1, 50, 20_000)
    by_row = np.bincount(rows[[budget.admits(row, VIDEO, _NOW, NO_PAST) for row in rows.tolist()]])
    before = int(by_row.sum())
    assert before > 1000
    assert taught(budget, 60, 5000) < 3 * np.median(by_row[1:])


@pytest.mark.parametrize("items", [3, 12, 40, 400])
def test_a_shop_in_which_nobody_is_known_yet_learns_from_its_start(items: int) -> None:
    """At most some hundred interactions are lost, then only the budget of the hour counts."""
    budget, rows = young_budgets(), np.random.default_rng(1).integers(1, items + 1, 1500)
    admitted = [budget.admits(row, VIDEO, _NOW, NO_PAST) for row in rows.tolist()]
    assert sum(admitted[:100]) >= min(items, 15)
    assert sum(admitted[:700]) > 550
    assert sum(admitted) <= BudgetPolicy().newcomers_per_hour


def test_a_repeat_teaches_less_and_less() -> None:
    budget, known = budgets(), KNOWN
    total = 0
    for _ in range(500):
        total += budget.admits(7, VIDEO, _NOW, known)
        known = Past(
            *(
                np.append(column, last)
                for column, last in zip((known.rows, known.times, known.age_starts), (7, 0, 0), strict=True)
            )
        )
    assert total < 15


def test_one_user_teaches_a_bounded_number_an_hour() -> None:
    budget, rows, times = budgets(user_per_hour=50), KNOWN.rows, KNOWN.times
    total = 0
    for row in range(1000, 1500):
        total += budget.admits(row, VIDEO, _NOW, Past(rows[-200:], times[-200:], KNOWN.age_starts))
        rows, times = np.append(rows, row), np.append(times, _NOW)
    assert 100 < total < 250


def test_an_hour_of_newcomers_teaches_a_bounded_number() -> None:
    budget = budgets(newcomers_per_hour=100)
    assert sum(taught(budget, row, 1) for row in range(1, 1001)) == 100
    assert sum(taught(budget, row, 1, at=_NOW + HOUR_MS) for row in range(1001, 2001)) >= 100


def test_without_budgets_everything_is_taught() -> None:
    assert taught(TeachingBudgets(UNBOUNDED, seed=0), 1, 5000) == 5000


def test_the_usual_ratio_is_not_moved_by_one_item() -> None:
    known, newcomers = np.full(50, 2.0), np.full(50, 40.0)
    before = newcomer_ratio(known, newcomers)
    newcomers[0] = 1e4
    assert newcomer_ratio(known, newcomers) == before == 40 / (2 + OFFSET) * 2


def counted(
    number: int, *, usual: float = 0.0, known_hour: float = 0.0, known: float = 1e6, hours: float = 1000
) -> float:
    """Return what so many newcomers count in an hour, of an item with `usual` an hour before."""
    before = usual * hours
    sums = Counted(known, before, known_hour, 0.0, hours)
    for _ in range(number):
        share = newcomer_share(sums)
        sums = sums._replace(newcomers=sums.newcomers + share, newcomers_hour=sums.newcomers_hour + share)
    return sums.newcomers - before


@pytest.mark.parametrize(("known_hour", "usual"), [(0, 0), (10, 0), (0, 5), (250, 2)])
def test_newcomers_count_in_an_hour_as_usual_or_as_known_users_confirm(known_hour: float, usual: float) -> None:
    bound = BASE_HOUR + RATIO_HOUR * known_hour + GROWTH * usual
    assert bound <= counted(5000, known_hour=known_hour, usual=usual) <= 1.01 * bound + 2


def test_newcomers_count_in_all_as_known_users_confirm() -> None:
    assert counted(5000, known_hour=1e6, known=3) == pytest.approx(MIN_RATIO * (3 + OFFSET), abs=2)


def test_an_item_of_today_has_no_usual_hour_yet() -> None:
    few, many = (counted(5000, usual=5 / hours, hours=hours) for hours in (0.5, MIN_HOURS))
    assert few == pytest.approx(many, abs=0.1)


def test_newcomers_keep_their_order_beyond_the_bound() -> None:
    assert counted(10) < counted(100) < counted(1000)


def test_fake_users_move_neither_weights_nor_sequences_that_are_rehearsed() -> None:
    """The attack makes no more gradient steps than its few admitted events are worth."""
    trainee = learner(users_per_step=16, budgets=BudgetPolicy())
    trainee.observe([next_item(f"u{number % 20}", f"i{number % 29}", number * 1000) for number in range(400)])
    trainee.step()
    trainee.observe([next_item(f"fake{number}", "i29", 400_000 + number) for number in range(2000)])
    assert trainee.encoder.untrained_events <= 40
    sampled = trainee.encoder.sequences.sample(2000, np.random.default_rng(0))
    assert len(sampled) <= 20 + 40


def test_without_budgets_fake_users_teach_everything() -> None:
    trainee = learner(budgets=UNBOUNDED)
    trainee.observe([next_item(f"fake{number}", "i29", number) for number in range(2000)])
    assert trainee.encoder.untrained_events == 2000
