"""Requests that cannot be answered are refused with the reason."""

from typing import Any

import pytest

from eddy.errors import PoisonError
from eddy_scorer.core.ranking.request import MAX_CANDIDATES, request_of
from tests.scorer.factories import request_record, scenarios


def test_request_is_taken_over() -> None:
    found = request_of(request_record(candidates=["b", "a", "b"], exclude=["c"], query="toys"), scenarios())
    assert found.candidates == ("b", "a")
    assert found.exclude == ("c",)
    assert (found.query, found.limit, found.trigger) == ("toys", 5, "request")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"user_id": ""}, "missing_user"),
        ({"request_id": ""}, "unknown_request"),
        ({"scenario": "casino"}, "unknown_scenario"),
        ({"limit": 0}, "bad_limit"),
        ({"limit": 501}, "bad_limit"),
        ({"user_id": "u" * 257}, "too_long"),
        ({"query": "q" * 257}, "too_long"),
        ({"candidates": ["c" * 257]}, "too_long"),
        ({"candidates": [str(n) for n in range(MAX_CANDIDATES + 1)]}, "too_long"),
        ({"exclude": ["x"] * 10_001}, "too_long"),
    ],
)
def test_unanswerable_request_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(PoisonError) as refused:
        request_of(request_record(**changes), scenarios())
    assert refused.value.reason == reason
