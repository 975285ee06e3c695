"""The tiers of tests: what puts a test into one, and what a test may start."""

import shutil
from types import SimpleNamespace
from typing import cast

import pytest

from eddy_cli.doctor.machine import BROWSERS
from tests import missing, tiers


def test_a_test_that_starts_more_than_its_tier_allows_fails() -> None:
    with pytest.raises(pytest.fail.Exception, match="a test of the tier 'unit' starts a stack"):
        tiers.starts_a("stack")


@pytest.mark.stack
def test_test_of_the_tier_may_start_its_resource() -> None:
    tiers.starts_a("stack")
    tiers.starts_a("broker")


def test_kafka_fixture_puts_a_test_into_the_broker_tier(request: pytest.FixtureRequest) -> None:
    own = request.node
    assert tiers.tier_of(own) == "unit"
    own.fixturenames.append("kafka")
    assert tiers.tier_of(own) == "broker"
    own.add_marker("stack")
    assert tiers.tier_of(own) == "stack"


def a_test(path: str, tier: str) -> pytest.Item:
    marks = [getattr(pytest.mark, tier).mark]
    return cast(pytest.Item, SimpleNamespace(path=path, iter_markers=lambda: marks))


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_each_worker_gets_whole_expensive_files_and_they_come_first(workers: int) -> None:
    tiers_of_files = ("unit", "stack", "unit", "slow", "broker", "stack", "unit", "broker", "stack", "unit") * 6
    items = [a_test(f"{n}.py", tier) for n, tier in enumerate(tiers_of_files) for _ in range(3 + n // 10 % 5)]
    dealt = tiers.dealt(items, workers)
    stack_tests = sum(tiers.tier_of(item) == "stack" for item in items)
    assert sorted(map(id, dealt)) == sorted(map(id, items))
    parts = [dealt[len(items) * n // workers : len(items) * (n + 1) // workers] for n in range(workers)]
    for part in parts:
        costs = [tiers.TIERS.index(tiers.tier_of(item)) for item in part]
        assert costs == sorted(costs, reverse=True)
        assert abs(costs.count(tiers.TIERS.index("stack")) - stack_tests / workers) <= 2 * 7
    expensive = [{item.path for item in part if tiers.tier_of(item) != "unit"} for part in parts]
    assert sum(map(len, expensive)) == len(set.union(*expensive))


def test_missing_tools_are_named_with_their_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    lines = missing.what_is_missing()
    assert ["chromium" in line for line in lines] == [True, False]
    assert all("install" in line for line in lines)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name in (*BROWSERS, "promtool") else None)
    assert missing.what_is_missing() == []
