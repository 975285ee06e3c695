"""POST /v1/events: what is accepted is in Kafka, what is refused names its field."""

import json
from typing import Any

import pytest

from eddy.contract.limits import REMEMBERED_EVENTS
from eddy.contract.topics import ITEMS, USER_EVENTS
from eddy_features.core import cleaning
from eddy_gateway.core import models, rules
from tests.gateway.conftest import NOW_MS, Served

DAY_MS = 24 * 3600 * 1000


def click(**changed: Any) -> dict[str, Any]:
    return {"user_id": "u1", "scenario": "video", "action": "click", "item_id": "i1", **changed}


async def test_one_event_is_stored_with_what_was_left_out(served: Served) -> None:
    answer = await served.http.post("/v1/events", json=click(value=4.5))
    assert answer.status_code == 202
    ((offset, stored),) = await served.read(USER_EVENTS)
    assert answer.json() == {"accepted": [{"event_id": stored["event_id"], "offset": offset}]}
    assert stored["occurred_at"] == NOW_MS
    assert (stored["item_id"], stored["value"], stored["query"]) == ("i1", 4.5, None)


async def test_a_batch_is_stored_in_its_order_and_each_event_knows_its_offset(served: Served) -> None:
    events = [click(event_id=f"e{number}", user_id=f"u{number % 3}", occurred_at=number) for number in range(50)]
    answer = await served.http.post("/v1/events", json=events)
    accepted = answer.json()["accepted"]
    assert [one["event_id"] for one in accepted] == [event["event_id"] for event in events]
    stored = await served.read(USER_EVENTS)
    assert {record["event_id"]: offset for offset, record in stored} == {
        one["event_id"]: one["offset"] for one in accepted
    }
    for user in ("u0", "u1", "u2"):
        times = [record["occurred_at"] for _, record in stored if record["user_id"] == user]
        assert times == sorted(times)


@pytest.mark.parametrize(
    ("event", "field", "kind"),
    [
        (click(scenario="cinema"), "scenario", "unknown_scenario"),
        (click(action="purchase"), "action", "unknown_action"),
        (click(item_id=None), "item_id", "missing_item"),
        (click(item_id="x" * 257), "item_id", "string_too_long"),
        (click(item_id=""), "item_id", "string_too_short"),
        (click(user_id="x" * 257), "user_id", "string_too_long"),
        (click(query="x" * 1025), "query", "string_too_long"),
        (click(user_id=None), "user_id", "string_type"),
        (click(occurred_at=NOW_MS + DAY_MS + 1), "occurred_at", "timestamp_ahead"),
        (click(occurred_at=2**63), "occurred_at", "less_than_equal"),
        (click(position=-1), "position", "greater_than_equal"),
        (click(colour="red"), "colour", "extra_forbidden"),
        (click(value=float("nan")), "value", "finite_number"),
        (click(value=float("inf")), "value", "finite_number"),
        (click(attributes={"a": "x" * 1025}), "attributes", "string_too_long"),
        (click(item_id="\ud800"), "item_id", "string_unicode"),
    ],
)
async def test_a_bad_event_is_refused_by_field_and_nothing_of_its_batch_is_stored(
    served: Served, event: dict[str, Any], field: str, kind: str
) -> None:
    for body in (event, [click(), event]):
        answer = await served.http.post(
            "/v1/events", content=json.dumps(body), headers={"content-type": "application/json"}
        )
        assert answer.status_code == 422
        (complaint,) = answer.json()["detail"]
        assert field in complaint["loc"]
        assert complaint["type"] == kind
    assert await served.read(USER_EVENTS) == []


@pytest.mark.parametrize("body", ["", "{", "7", "[]7", "null", '{"user_id": "u1"}', "[[]]"])
async def test_what_is_no_event_is_refused(served: Served, body: str) -> None:
    answer = await served.http.post("/v1/events", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422


async def test_an_oversized_batch_is_refused(served: Served) -> None:
    answer = await served.http.post("/v1/events", json=[click()] * 1001)
    assert answer.status_code == 422
    assert "1001" in answer.json()["detail"][0]["msg"]


async def test_an_empty_batch_stores_nothing(served: Served) -> None:
    answer = await served.http.post("/v1/events", json=[])
    assert (answer.status_code, answer.json()) == (202, {"accepted": []})


async def test_an_item_is_stored_under_its_id(served: Served) -> None:
    item = {"title": "Heat", "categories": ["crime"], "scenarios": ["video"], "attributes": {"year": "1995"}}
    answer = await served.http.put("/v1/items/m1", json=item)
    assert (answer.status_code, answer.json()) == (200, {"item_id": "m1"})
    ((_, stored),) = await served.read(ITEMS)
    assert stored == {"item_id": "m1", "text": None, "available": True, "published_at": None, **item}


async def test_an_item_of_an_unknown_scenario_is_refused(served: Served) -> None:
    answer = await served.http.put("/v1/items/m1", json={"scenarios": ["video", "cinema"]})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "scenarios"]


def test_the_gateway_refuses_at_the_limits_of_the_features_service() -> None:
    assert models.MAX_ID_CHARS == cleaning.MAX_ID_CHARS
    assert models.MAX_TEXT_CHARS == cleaning.MAX_TEXT_CHARS
    assert models.MAX_ATTRIBUTES == cleaning.MAX_ATTRIBUTES
    assert rules.MAX_AHEAD_MS == cleaning.MAX_AHEAD_MS


async def test_more_of_a_user_than_features_remembers_is_refused(served: Served) -> None:
    """Sent again after a failure, the first of them would count twice."""
    events = [click(event_id=f"e{number}") for number in range(REMEMBERED_EVENTS + 1)]
    answer = await served.http.post("/v1/events", json=events)
    assert answer.status_code == 422
    assert "101 events of user u1 of at most 100" in answer.json()["detail"][0]["msg"]
    assert (await served.http.post("/v1/events", json=events[1:])).status_code == 202


async def test_a_flood_of_nothing_is_refused_with_one_complaint(served: Served) -> None:
    answer = await served.http.post("/v1/events", json=[{}] * (models.MAX_BATCH + 1))
    assert answer.status_code == 422
    (complaint,) = answer.json()["detail"]
    assert complaint["type"] == "too_long"


async def test_ids_may_hold_a_slash(served: Served) -> None:
    answer = await served.http.put("/v1/items/a%2Fb", json={"title": "Heat"})
    assert (answer.status_code, answer.json()) == (200, {"item_id": "a/b"})
    refused = await served.http.get("/v1/recommendations/a%2Fb", params={"scenario": "cinema"})
    assert refused.json()["detail"][0]["type"] == "unknown_scenario"
