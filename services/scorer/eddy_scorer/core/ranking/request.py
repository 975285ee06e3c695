"""A request for a list, checked."""

from dataclasses import dataclass

from eddy.contract.codec import Record
from eddy.contract.scenarios import Scenarios
from eddy.errors import PoisonError

MAX_LIMIT = 500
MAX_CANDIDATES = 1000
MAX_EXCLUDED = 10_000
MAX_CHARACTERS = 256

REQUESTED = "request"
PUSHED = "push"


@dataclass(frozen=True, slots=True)
class Request:
    """What `Recommender.recommend` answers. `requested_at` is event time in milliseconds; `trigger` is `request` or `push`."""

    request_id: str
    user_id: str
    scenario: str
    limit: int
    requested_at: int
    query: str | None = None
    candidates: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    trigger: str = REQUESTED


def request_of(record: Record, scenarios: Scenarios) -> Request:
    """The request in a `recommendation_request` record. Raises PoisonError for one that cannot be answered."""
    _check(record, scenarios)
    candidates = record["candidates"]
    return Request(
        request_id=record["request_id"],
        user_id=record["user_id"],
        scenario=record["scenario"],
        limit=record["limit"],
        requested_at=record["requested_at"],
        query=record["query"],
        candidates=None if candidates is None else tuple(dict.fromkeys(candidates)),
        exclude=tuple(record["exclude"]),
    )


def _check(record: Record, scenarios: Scenarios) -> None:
    if not record["user_id"]:
        raise PoisonError("missing_user", "a request names its user")
    if not record["request_id"]:
        raise PoisonError("unknown_request", "a request has an id")
    if record["scenario"] not in scenarios.scenarios:
        raise PoisonError("unknown_scenario", record["scenario"][:MAX_CHARACTERS])
    if not 1 <= record["limit"] <= MAX_LIMIT:
        raise PoisonError("bad_limit", f"{record['limit']} is not within 1 to {MAX_LIMIT}")
    named = [record["request_id"], record["user_id"], record["query"] or ""]
    items = record["candidates"] or []
    if max(map(len, [*named, *items, *record["exclude"]])) > MAX_CHARACTERS:
        raise PoisonError("too_long", f"a name or the query has more than {MAX_CHARACTERS} characters")
    if len(items) > MAX_CANDIDATES or len(record["exclude"]) > MAX_EXCLUDED:
        raise PoisonError("too_long", f"more than {MAX_CANDIDATES} candidates or {MAX_EXCLUDED} excluded items")
