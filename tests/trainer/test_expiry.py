"""Users and items expire by event time: after a month of churn, the trainer is as large as after a week."""

import psutil
import pytest

from eddy.contract.expiry import DAY_MS, EventClock
from eddy.contract.model import FEATURES
from eddy_trainer.core.ranking_memory import MAX_CANDIDATE_SETS, MAX_CANDIDATES, CandidateSetMemory
from tests.trainer.factories import features, learner, next_item

pytestmark = pytest.mark.slow

T0 = 1_700_000_000_000
DAYS = 3


def test_a_month_of_churn_leaves_the_learner_as_it_was_after_a_week() -> None:
    """Each day 100 new users and 25 new items that nobody published, each with events on that day alone."""
    trainee = learner(items=10)
    sizes = []
    for day in range(30):
        start = T0 + day * DAY_MS
        events = []
        for user in range(100):
            item = f"d{day}-{user % 25}" if user % 4 else "i3"
            events += [next_item(f"u{day}-{user}", item, start + user * 1000 + number) for number in range(3)]
        trainee.observe(events)
        trainee.expire(DAYS, DAYS)
        table = trainee.encoder.table
        sizes.append((len(trainee.encoder.sequences), len(table), len(trainee.encoder.sequences._count)))
    assert sizes[-1][0] <= 100 * (DAYS + 1)
    assert sizes[9:] == [sizes[9]] * len(sizes[9:])
    assert "i3" in table._row_of  # published
    assert table._row_of.keys() >= {f"d29-{number}" for number in range(1, 25) if number % 4}
    assert not any(name.startswith("d20-") for name in table.ids)
    assert set(table.unpublished_deletions) >= {"d0-1", "d20-1"}  # scorers are told


def test_what_is_remembered_for_the_ranker_takes_its_memory_at_the_start() -> None:
    """67 MB that came with the examples would look like a leak for as long, and end a trainer without room for it after hours."""
    memory, process = CandidateSetMemory(len(FEATURES)), psutil.Process()
    before = process.memory_info().rss
    memory.clear()
    started = process.memory_info().rss
    for _ in range(MAX_CANDIDATE_SETS // 128):
        memory.add([next_item("u", "i0", T0, 0, features(MAX_CANDIDATES))] * 128)
    assert len(memory) == MAX_CANDIDATE_SETS
    assert started - before > 60 * 2**20
    assert process.memory_info().rss - started < 15 * 2**20


def test_an_expired_item_returns_with_its_next_event() -> None:
    trainee = learner(items=1)
    trainee.observe([next_item("u", "once", T0)] + [next_item("v", "i0", T0 + number) for number in range(1000)])
    trainee.expire(0, DAYS)
    trainee.observe([next_item("v", "i0", T0 + 9 * DAY_MS + number) for number in range(1000)])
    assert trainee.expire(0, DAYS) == (0, 1)
    assert "u" in trainee.encoder.sequences  # users do not expire by 0 days
    trainee.observe([next_item("w", "once", T0 + 9 * DAY_MS)])
    assert "once" in trainee.encoder.table._row_of
    assert "once" not in trainee.encoder.table.unpublished_deletions


def test_a_few_wrong_times_expire_nobody() -> None:
    clock = EventClock()
    clock.add([T0] * 950 + [T0 + 10 * DAY_MS] * 50)
    assert clock.limit(DAYS) == T0 - DAYS * DAY_MS
    clock.add([T0 + 10 * DAY_MS] * 60)
    assert clock.limit(DAYS) == T0 + 7 * DAY_MS
    assert EventClock().limit(DAYS) is None
