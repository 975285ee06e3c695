"""Invalid requests are refused with the reason."""

from typing import Any

import pytest

from eddy.clock import ManualClock
from eddy.contract.codec import Codec
from eddy.contract.limits import (
    MAX_AHEAD_MS,
    MAX_ALLOWANCE_MS,
    MAX_CANDIDATES,
    MAX_EXCLUDED,
    MAX_QUERY_CHARS,
    MAX_SLATE,
)
from eddy.contract.message import Message
from eddy.contract.reasons import REASONS
from eddy.contract.topics import RECOMMENDATION_REQUESTS
from eddy.errors import PoisonError
from eddy_scorer.core.ranking.request import request_of
from eddy_scorer.shell.requests_reader import RequestDecoder
from tests.scorer.factories import NOW, request_record, scenarios

DECODER = RequestDecoder(scenarios(), ManualClock(NOW), 1000)


def message(record: dict[str, Any], key: bytes | None = None) -> Message:
    value = Codec.for_topic(RECOMMENDATION_REQUESTS).encode(record)
    return Message(RECOMMENDATION_REQUESTS, 0, 0, record["user_id"].encode() if key is None else key, value, NOW)


@pytest.mark.parametrize("lead_ms", [-10_000, -2000, 0, 10_000])
def test_a_deadline_counts_from_the_append_whatever_the_caller_s_clock(lead_ms: int) -> None:
    requested_at = NOW + lead_ms
    queued = DECODER.decode(message(request_record(requested_at=requested_at, deadline_at=requested_at + 2000)))
    assert (queued.answer_by, queued.useless_after) == (NOW + 2000, NOW + 2000)


def test_nobody_can_ask_for_hours() -> None:
    asked = message(request_record(requested_at=NOW - 86_400_000, deadline_at=NOW + 86_400_000))
    assert DECODER.decode(asked).useless_after == NOW + MAX_ALLOWANCE_MS


def test_without_a_deadline_nothing_is_dropped() -> None:
    queued = DECODER.decode(message(request_record()))
    assert (queued.answer_by, queued.useless_after) == (NOW + 1000, None)


def test_request_has_the_fields_of_the_record() -> None:
    parsed = request_of(request_record(candidates=["b", "a", "b"], exclude=["c"], query="toys"))
    assert parsed.candidates == ("b", "a")
    assert parsed.exclude == ("c",)
    assert (parsed.query, parsed.limit, parsed.trigger) == ("toys", 5, "request")


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"user_id": ""}, "missing_user", "user_id"),
        ({"request_id": ""}, "unknown_request", "request_id"),
        ({"scenario": "casino"}, "unknown_scenario", "scenario"),
        ({"limit": 0}, "bad_limit", "limit"),
        ({"limit": MAX_SLATE + 1}, "bad_limit", "limit"),
        ({"user_id": "u" * 257}, "too_long", "user_id"),
        ({"query": "q" * (MAX_QUERY_CHARS + 1)}, "too_long", "query"),
        ({"candidates": ["c" * 257]}, "too_long", "candidates"),
        ({"candidates": [str(n) for n in range(MAX_CANDIDATES + 1)]}, "too_long", "candidates"),
        ({"candidates": [""]}, "empty_name", "candidates"),
        ({"exclude": ["x"] * (MAX_EXCLUDED + 1)}, "too_long", "exclude"),
        ({"exclude": ["x" * 257]}, "too_long", "exclude"),
        ({"exclude": [""]}, "empty_name", "exclude"),
        ({"after_offset": -1}, "out_of_range", "after_offset"),
        ({"requested_at": -1}, "out_of_range", "requested_at"),
        ({"requested_at": NOW + MAX_AHEAD_MS + 1}, "timestamp_ahead", "requested_at"),
        ({"deadline_at": NOW}, "out_of_range", "deadline_at"),
        ({"deadline_at": NOW - 1}, "out_of_range", "deadline_at"),
        ({"requested_at": NOW + 9, "deadline_at": NOW + 1}, "out_of_range", "deadline_at"),
    ],
)
def test_invalid_request_is_refused(changes: dict[str, Any], reason: str, field: str) -> None:
    with pytest.raises(PoisonError) as refused:
        DECODER.decode(message(request_record(**changes)))
    assert (refused.value.reason, refused.value.field) == (reason, field)
    assert refused.value.reason in REASONS
    assert len(refused.value.detail) < 400


def test_request_under_another_key_is_refused() -> None:
    with pytest.raises(PoisonError, match="wrong_key"):
        DECODER.decode(message(request_record(), b"somebody else"))


def test_request_at_all_limits_is_valid() -> None:
    record = request_record(
        "u" * 256,
        limit=MAX_SLATE,
        query="q" * MAX_QUERY_CHARS,
        candidates=["c" * 256] * MAX_CANDIDATES,
        exclude=["x"] * MAX_EXCLUDED,
        after_offset=0,
        requested_at=NOW + MAX_AHEAD_MS,
    )
    assert DECODER.decode(message(record)).request.limit == MAX_SLATE
