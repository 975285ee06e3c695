"""Which events are usable, and what becomes of their fields."""

import math
from typing import Any

import pytest

from eddy.contract.limits import MAX_AHEAD_MS
from eddy.contract.reasons import REASONS
from eddy.errors import PoisonError
from eddy_features.core.cleaning import Cleaner
from tests.features.factories import START_MS, encoded, event, message
from tests.features.reference import SCENARIOS

CLEAN = Cleaner(SCENARIOS)


def refusal(**changes: Any) -> str:
    with pytest.raises(PoisonError) as caught:
        CLEAN(message(7, encoded(event(**changes)), at=START_MS))
    assert caught.value.reason in REASONS
    return caught.value.reason


def test_usable_event_is_normalised() -> None:
    clean = CLEAN(message(7, encoded(event(action="rate", value=4.0))))
    assert (clean.offset, clean.label, clean.item_id, clean.value) == (7, "video/rate", "m1", 0.75)
    assert clean.positive
    assert clean.is_rating
    assert not CLEAN(message(7, encoded(event(action="play", value=4.0)))).is_rating


def test_missing_value_becomes_the_default_and_an_extreme_one_is_clipped() -> None:
    missing = CLEAN(message(0, encoded(event(action="rate", value=None))))
    assert (missing.value, missing.is_rating) == (pytest.approx(0.525), False)
    assert CLEAN(message(0, encoded(event(action="rate", value=1e300)))).value == 1.0
    unvalued = CLEAN(message(0, encoded(event(action="like", value=17.0))))
    assert (unvalued.value, unvalued.is_rating) == (1.0, False)


@pytest.mark.parametrize(
    ("action", "value", "reversal"),
    [
        ("purchase", -50.0, True),
        ("purchase", 0.0, False),
        ("rate", 0.5, True),
        ("rate", 3.0, False),
        ("click", -1.0, True),
        ("click", 0.0, False),
        ("add_to_cart", -2.0, True),
    ],
)
def test_value_below_its_range_reverses_the_action(action: str, value: float, reversal: bool) -> None:
    """A refund is no purchase and a rating below the scale is no rating; without a range, values are not negative."""
    clean = CLEAN(message(0, encoded(event(scenario="shop", action=action, value=value))))
    assert (clean.reversal, clean.positive) == (reversal, not reversal)
    assert clean.is_rating == (action == "rate" and not reversal)


def test_impression_and_skip_are_not_positive() -> None:
    assert not CLEAN(message(0, encoded(event(action="impression", item_id=None)))).positive
    assert not CLEAN(message(0, encoded(event(action="skip")))).positive


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"scenario": "nowhere"}, "unknown_scenario"),
        ({"action": "teleport"}, "unknown_action"),
        ({"item_id": None}, "missing_item"),
        ({"item_id": ""}, "missing_item"),
        ({"user_id": ""}, "missing_user"),
        ({"value": math.nan}, "non_finite"),
        ({"value": -math.inf}, "non_finite"),
        ({"action": "impression", "item_id": ""}, "missing_item"),
        ({"occurred_at": START_MS + MAX_AHEAD_MS + 1}, "timestamp_ahead"),
        ({"occurred_at": -1}, "out_of_range"),
        ({"occurred_at": START_MS // 1000}, "out_of_range"),  # seconds
        ({"occurred_at": START_MS // 60_000}, "out_of_range"),  # minutes
        ({"occurred_at": START_MS * 1000}, "timestamp_ahead"),  # microseconds
        ({"position": -1}, "out_of_range"),
        ({"request_id": ""}, "empty_name"),
        ({"attributes": {"": "x"}}, "empty_name"),
        ({"event_id": "x" * 257}, "too_long"),
        ({"user_id": "x" * 257}, "too_long"),
        ({"item_id": "x" * 257}, "too_long"),
        ({"request_id": "x" * 257}, "too_long"),
        ({"query": "x" * 1025}, "too_long"),
        ({"attributes": {"a": "x" * 1025}}, "too_long"),
        ({"attributes": {str(number): "" for number in range(65)}}, "too_long"),
    ],
)
def test_unusable_event_is_refused_with_a_reason(changes: dict[str, Any], reason: str) -> None:
    assert refusal(**changes) == reason


def test_values_at_the_limits_are_allowed() -> None:
    at_the_limit = event(item_id="x" * 256, query="q" * 1024, occurred_at=START_MS + MAX_AHEAD_MS)
    assert CLEAN(message(0, encoded(at_the_limit), at=START_MS)).item_id == "x" * 256


@pytest.mark.parametrize("key", [None, b"", b"u2"])
def test_key_other_than_the_user_id_is_refused(key: bytes | None) -> None:
    with pytest.raises(PoisonError, match="wrong_key"):
        CLEAN(message(0, (key, encoded(event())[1])))


@pytest.mark.parametrize("value", [b"", b"\xc3\x01", b"{}", encoded(event())[1][:-1], encoded(event())[1] + b"\0"])
def test_bytes_other_than_an_event_are_refused(value: bytes) -> None:
    with pytest.raises(PoisonError, match="undecodable"):
        CLEAN(message(0, (b"u1", value)))
