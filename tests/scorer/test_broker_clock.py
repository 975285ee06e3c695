"""The scorer compares its clock with the broker's, by what it writes."""

import pytest

from eddy.clock import ManualClock
from eddy_scorer.core.broker_clock import VALID_MS, BrokerClock

BROKER_MS = 1_000_000


@pytest.mark.parametrize("lead_ms", [-10_000, -50, 0, 3, 10_000])
def test_a_wrong_clock_is_corrected_within_the_round_trip(lead_ms: int) -> None:
    own = ManualClock(BROKER_MS + lead_ms)
    clock = BrokerClock(own)
    assert not clock.is_compared
    sent_at = own.now_ms()
    own.advance(0.02)
    clock.compare(sent_at, BROKER_MS + 10)
    assert clock.is_compared
    assert abs(clock.now_ms() - (BROKER_MS + 20)) <= 11


def test_slow_round_trips_leave_an_agreeing_clock_alone() -> None:
    own = ManualClock(BROKER_MS)
    clock = BrokerClock(own)
    for delay_sec, appended_after_ms in ((2.0, 1), (0.5, 499), (3.0, 2999)):
        sent_at = own.now_ms()
        own.advance(delay_sec)
        clock.compare(sent_at, sent_at + appended_after_ms)
        assert clock.now_ms() == own.now_ms()


def test_a_clock_that_is_set_is_compared_again() -> None:
    own = ManualClock(BROKER_MS)
    clock = BrokerClock(own)
    clock.compare(BROKER_MS, BROKER_MS)
    own.advance(60)  # the clock is set, the broker's is not
    assert own.now_ms() - BROKER_MS > VALID_MS
    assert not clock.is_compared
    clock.compare(own.now_ms(), BROKER_MS)
    assert abs(clock.now_ms() - BROKER_MS) <= 1
    own.advance(-120)
    assert not clock.is_compared
