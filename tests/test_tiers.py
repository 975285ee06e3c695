"""The tiers of tests: what puts a test into one, and what a test may start."""

import shutil

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


def test_missing_tools_are_named_with_their_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    lines = missing.what_is_missing()
    assert ["chromium" in line for line in lines] == [True, False]
    assert all("install" in line for line in lines)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name in (*BROWSERS, "promtool") else None)
    assert missing.what_is_missing() == []
