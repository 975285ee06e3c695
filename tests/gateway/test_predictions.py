"""Predictions have the names in the record, whatever actions the gateway's own contract has."""

import pytest

from eddy.contract.legacy import LEGACY_ACTIONS
from eddy_gateway.core.models import RecommendationsOut
from tests.cli.answering import answer

REQUEST = {
    "request_id": "r",
    "user_id": "u",
    "scenario": "video",
    "requested_at": 1,
    "after_offset": None,
    "limit": 1,
}


@pytest.mark.parametrize(
    ("names", "predictions", "expected"),
    [
        (["purchase", "of the next version"], [0.25, 0.5], {"purchase": 0.25, "of the next version": 0.5}),
        ([], [0.5] * len(LEGACY_ACTIONS), dict.fromkeys(LEGACY_ACTIONS, 0.5)),
        ([], [], {}),
    ],
)
def test_predictions_have_the_names_of_the_record(
    names: list[str], predictions: list[float], expected: dict[str, float]
) -> None:
    record = answer(REQUEST, ["i1"])  # type: ignore[arg-type]
    (item,) = record["items"]
    item["predictions"] = predictions
    record["prediction_names"] = names
    (recommended,) = RecommendationsOut.of(record).items  # type: ignore[arg-type]
    assert recommended.predictions == expected
