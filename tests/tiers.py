"""The tiers of tests, told by what a test starts.

`unit` starts nothing, and all of them together take less than a minute. `slow` computes for seconds, in this process. `broker` speaks to a
Kafka, or starts small commands. `stack` starts services as processes. A test is of the dearest tier that it belongs to: fixtures put it
into `broker`, a `pytestmark` of its file into `stack` or `slow`.
"""

from contextvars import ContextVar

import pytest

TIERS = ("unit", "slow", "broker", "stack")
_BROKER_FIXTURES = {"kafka", "registry", "secured", "own_broker"}

# Of the test that runs; outside of tests nothing is refused.
_current = ContextVar("tier", default="stack")


def tier_of(item: pytest.Item) -> str:
    """The dearest tier of a test."""
    marks = {mark.name for mark in item.iter_markers()}
    if _BROKER_FIXTURES & set(getattr(item, "fixturenames", ())):
        marks.add("broker")
    return max((tier for tier in TIERS if tier in marks), key=TIERS.index, default="unit")


def enter(tier: str) -> None:
    """The test that starts now is of `tier`."""
    _current.set(tier)


def starts_a(tier: str) -> None:
    """To be called by whatever starts something in tests. Fails a test of a cheaper tier, so that no tier grows unseen."""
    if TIERS.index(_current.get()) < TIERS.index(tier):
        pytest.fail(
            f"a test of the tier {_current.get()!r} starts a {tier}: mark its file `pytestmark = pytest.mark.{tier}`"
        )
