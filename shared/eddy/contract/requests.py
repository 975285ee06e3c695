"""Validation of `recommendation_request` records, shared by gateway and scorer."""

from collections.abc import Mapping
from typing import Any

from eddy.contract.checks import (
    check_count,
    check_length,
    check_names,
    check_range,
    check_time,
    check_user,
    unknown_scenario,
)
from eddy.contract.limits import (
    MAX_ALLOWANCE_MS,
    MAX_CANDIDATES,
    MAX_EXCLUDED,
    MAX_OFFSET,
    MAX_QUERY_CHARS,
    MAX_SLATE,
)
from eddy.contract.scenarios import Scenarios
from eddy.errors import PoisonError


class RequestContract:
    """Validates requests by scenarios.yaml."""

    def __init__(self, scenarios: Scenarios) -> None:
        self._scenarios = scenarios

    def check(self, record: Mapping[str, Any], key: bytes | None, appended_ms: int) -> None:
        """Validate a decoded `recommendation_request` with its message key and append time.

        Raises PoisonError with reason, field and what to do.
        """
        check_user(record["user_id"], key)
        if not record["request_id"]:
            raise PoisonError("unknown_request", "request_id is empty. The answer needs it.", "request_id")
        check_length("request_id", record["request_id"])
        if record["scenario"] not in self._scenarios.scenarios:
            raise unknown_scenario(record["scenario"], self._scenarios.scenarios)
        if not 1 <= record["limit"] <= MAX_SLATE:
            raise PoisonError("bad_limit", f"limit is {record['limit']}. Use 1 to {MAX_SLATE}.", "limit")
        check_length("query", record["query"] or "", MAX_QUERY_CHARS)
        check_count("candidates", record["candidates"] or (), MAX_CANDIDATES)
        check_names("candidates", record["candidates"] or ())
        check_count("exclude", record["exclude"], MAX_EXCLUDED)
        check_names("exclude", record["exclude"])
        if record["after_offset"] is not None:
            check_range("after_offset", record["after_offset"], 0, MAX_OFFSET)
        check_time("requested_at", record["requested_at"], appended_ms)
        _check_deadline(record["deadline_at"], record["requested_at"])


def allowance_ms(record: Mapping[str, Any]) -> int | None:
    """How long after its append the answer to a valid request is of use, at most MAX_ALLOWANCE_MS; None if it names no deadline.

    Both times of the request are the caller's, so that their difference is right even if that clock is wrong.
    """
    deadline = record["deadline_at"]
    return None if deadline is None else min(deadline - record["requested_at"], MAX_ALLOWANCE_MS)


def _check_deadline(deadline: int | None, requested_at: int) -> None:
    if deadline is not None and deadline <= requested_at:
        raise PoisonError(
            "out_of_range",
            f"deadline_at is {requested_at - deadline} ms before requested_at, or equal to it. "
            "Set it to requested_at plus the milliseconds that you wait for the answer.",
            "deadline_at",
        )
