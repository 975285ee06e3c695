"""Refusals in `recommendations`: the scorer's answer to an invalid request, so that the caller need not wait."""

from eddy.contract.limits import MAX_ECHO_CHARS
from eddy.contract.records import History, RecommendationRequest, Recommendations
from eddy.errors import PoisonError

_NO_HISTORY: History = {
    "item_ids": [],
    "actions": [],
    "scenarios": [],
    "values": [],
    "occurred_at": [],
    "valued": [],
}


def refusal_of(request: RecommendationRequest, error: PoisonError, served_at: int) -> Recommendations | None:
    """The `recommendations` record that refuses a decoded `recommendation_request`; None for a request without an id.

    `served_at` is wall clock time in milliseconds. Ids are cut to MAX_ECHO_CHARS.
    """
    if not request["request_id"]:
        return None
    return {
        "request_id": request["request_id"][:MAX_ECHO_CHARS],
        "user_id": request["user_id"][:MAX_ECHO_CHARS],
        "scenario": request["scenario"][:MAX_ECHO_CHARS],
        "requested_at": request["requested_at"],
        "served_at": served_at,
        "model_version": 0,
        "policy": "",
        "trigger": "request",
        "applied_offset": -1,
        "items": [],
        "considered": [],
        "features": b"",
        "feature_names": [],
        "prediction_names": [],
        "contract": "",
        "refusal": {"reason": error.reason, "field": error.field or "", "detail": error.detail},
        "history": _NO_HISTORY,
    }


def raise_refusal(recommendations: Recommendations) -> None:
    """Raise the PoisonError of a decoded `recommendations` record that is a refusal."""
    refusal = recommendations["refusal"]
    if refusal is not None:
        raise PoisonError(refusal["reason"], refusal["detail"], refusal["field"] or None)
