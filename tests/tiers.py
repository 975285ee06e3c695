"""The tiers of tests, by what a test starts.

`unit` starts nothing, and all of them together take less than a minute. `slow` computes for seconds, in this process. `broker` speaks to a
Kafka, or starts small commands. `stack` starts services as processes. A test is of the most expensive tier that applies: fixtures put it
into `broker`, a mark of its own or of its file into the others.
"""

from collections.abc import Sequence
from contextvars import ContextVar
from itertools import groupby

import pytest

TIERS = ("unit", "slow", "broker", "stack")
_BROKER_FIXTURES = {"kafka", "registry", "secured", "own_broker"}

# The tier of the running test; outside of tests everything is allowed.
_current = ContextVar("tier", default="stack")


def tier_of(item: pytest.Item) -> str:
    """The most expensive tier that applies to a test."""
    marks = {mark.name for mark in item.iter_markers()}
    if _BROKER_FIXTURES & set(getattr(item, "fixturenames", ())):
        marks.add("broker")
    return max((tier for tier in TIERS if tier in marks), key=TIERS.index, default="unit")


def dealt(items: Sequence[pytest.Item], workers: int) -> list[pytest.Item]:
    """The tests in an order whose `workers` equal parts, of which pytest-xdist gives each worker one, cost about the same.

    The expensive tests of each part come first, so that the last tests of a run, when workers run out of them, are short.
    Expensive files stay whole, as their tests share what they start.
    """
    files = [list(file) for _, file in groupby(items, lambda item: item.path)]
    costs = [max(TIERS.index(tier_of(item)) for item in file) for file in files]
    expensive = sorted((pair for pair in zip(costs, files, strict=True) if pair[0]), key=lambda pair: -pair[0])
    parts = [[item for _, file in expensive[worker::workers] for item in file] for worker in range(workers)]
    cheap = [item for cost, file in zip(costs, files, strict=True) if not cost for item in file]
    ordered: list[pytest.Item] = []
    for worker, part in enumerate(parts, 1):
        end = len(items) * worker // workers
        ordered += part
        missing = max(end - len(ordered), 0)
        ordered += cheap[:missing]
        del cheap[:missing]
    return ordered


def enter(tier: str) -> None:
    """Set the tier of the test that starts."""
    _current.set(tier)


def starts_a(tier: str) -> None:
    """Fail a test of a cheaper tier. Called by all helpers that start something, so that the cheaper tiers stay fast."""
    if TIERS.index(_current.get()) < TIERS.index(tier):
        pytest.fail(
            f"a test of the tier {_current.get()!r} starts a {tier}: mark its file `pytestmark = pytest.mark.{tier}`"
        )
