"""The fields of a request that the scorer keeps. eddy.contract.requests checks them."""

from dataclasses import dataclass

from eddy.contract.records import RecommendationRequest

REQUESTED = "request"
PUSHED = "push"


@dataclass(frozen=True, slots=True)
class Request:
    """A request for a slate. `requested_at` is event time in milliseconds; `trigger` is `request` or `push`."""

    request_id: str
    user_id: str
    scenario: str
    limit: int
    requested_at: int
    query: str | None = None
    candidates: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    trigger: str = REQUESTED


def request_of(record: RecommendationRequest) -> Request:
    """The Request of a valid `recommendation_request` record."""
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
