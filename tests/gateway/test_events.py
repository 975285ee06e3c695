"""POST /v1/events and PUT /v1/items: accepted records are in Kafka, and refusals name their field."""

import json
from typing import Any

import pytest

from eddy.contract.limits import MAX_BATCH_EVENTS, REMEMBERED_EVENTS
from eddy.contract.topics import ITEMS, USER_EVENTS
from tests.gateway.conftest import NOW_MS, RunningGateway

DAY_MS = 24 * 3600 * 1000


@pytest.fixture
def topic_prefix(common_prefix: str) -> str:
    return common_prefix


def click(**overrides: Any) -> dict[str, Any]:
    return {"user_id": "u1", "scenario": "video", "action": "click", "item_id": "i1", **overrides}


async def test_an_event_is_stored_with_defaults(gateway: RunningGateway) -> None:
    answer = await gateway.http.post("/v1/events", json=click(value=4.5))
    assert answer.status_code == 202
    ((offset, stored),) = await gateway.read(USER_EVENTS)
    assert answer.json() == {"accepted": [{"event_id": stored["event_id"], "offset": offset}]}
    assert stored["occurred_at"] == NOW_MS
    assert (stored["item_id"], stored["value"], stored["query"]) == ("i1", 4.5, None)


async def test_a_batch_is_stored_in_its_order_and_answered_with_offsets(gateway: RunningGateway) -> None:
    events = [
        click(event_id=f"e{number}", user_id=f"u{number % 3}", occurred_at=NOW_MS - 50 + number) for number in range(50)
    ]
    answer = await gateway.http.post("/v1/events", json=events)
    accepted = answer.json()["accepted"]
    assert [entry["event_id"] for entry in accepted] == [event["event_id"] for event in events]
    stored = await gateway.read(USER_EVENTS)
    assert {record["event_id"]: offset for offset, record in stored} == {
        entry["event_id"]: entry["offset"] for entry in accepted
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
        (click(item_id="x" * 257), "item_id", "too_long"),
        (click(item_id=""), "item_id", "missing_item"),
        (click(action="impression", item_id=""), "item_id", "missing_item"),
        (click(request_id=""), "request_id", "empty_name"),
        (click(user_id="x" * 257), "user_id", "too_long"),
        (click(user_id=""), "user_id", "missing_user"),
        (click(query="x" * 1025), "query", "too_long"),
        (click(user_id=None), "user_id", "string_type"),
        (click(occurred_at=NOW_MS + DAY_MS + 1), "occurred_at", "timestamp_ahead"),
        (click(occurred_at=2**63), "occurred_at", "timestamp_ahead"),
        (click(occurred_at=-1), "occurred_at", "out_of_range"),
        (click(occurred_at=NOW_MS // 1000), "occurred_at", "out_of_range"),
        (click(occurred_at=NOW_MS * 1000), "occurred_at", "timestamp_ahead"),
        (click(position=-1), "position", "out_of_range"),
        (click(position=2**31), "position", "out_of_range"),
        (click(colour="red"), "colour", "extra_forbidden"),
        (click(value=float("nan")), "value", "non_finite"),
        (click(value=float("inf")), "value", "non_finite"),
        (click(attributes={"a": "x" * 1025}), "attributes", "too_long"),
        (click(attributes={"": "x"}), "attributes", "empty_name"),
        (click(attributes={str(number): "" for number in range(65)}), "attributes", "too_long"),
        (click(item_id="\ud800"), "item_id", "string_unicode"),
    ],
)
async def test_an_invalid_event_is_refused_by_field_and_its_batch_is_not_stored(
    gateway: RunningGateway, event: dict[str, Any], field: str, kind: str
) -> None:
    for body in (event, [click(), event]):
        answer = await gateway.http.post(
            "/v1/events", content=json.dumps(body), headers={"content-type": "application/json"}
        )
        assert answer.status_code == 422
        (problem,) = answer.json()["detail"]
        assert field in problem["loc"]
        assert problem["type"] == kind
    assert await gateway.read(USER_EVENTS) == []


@pytest.mark.parametrize("body", ["", "{", "7", "[]7", "null", '{"user_id": "u1"}', "[[]]"])
async def test_a_body_that_is_no_event_is_refused(gateway: RunningGateway, body: str) -> None:
    answer = await gateway.http.post("/v1/events", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422


async def test_an_oversized_batch_is_refused(gateway: RunningGateway) -> None:
    answer = await gateway.http.post("/v1/events", json=[click()] * 1001)
    assert answer.status_code == 422
    message = "1001 events in this request; the maximum is 1000. Split the request."
    assert answer.json()["detail"] == [{"loc": ["body"], "type": "too_long", "msg": message}]


async def test_an_empty_batch_stores_nothing(gateway: RunningGateway) -> None:
    answer = await gateway.http.post("/v1/events", json=[])
    assert (answer.status_code, answer.json()) == (202, {"accepted": []})


async def test_an_item_is_stored_under_its_id(gateway: RunningGateway) -> None:
    item = {"title": "Heat", "categories": ["crime"], "scenarios": ["video"], "attributes": {"year": "1995"}}
    answer = await gateway.http.put("/v1/items/m1", json=item)
    assert (answer.status_code, answer.json()) == (200, {"item_id": "m1"})
    ((_, stored),) = await gateway.read(ITEMS)
    assert stored == {"item_id": "m1", "text": None, "available": True, "published_at": None, **item}


async def test_an_item_of_an_unknown_scenario_is_refused(gateway: RunningGateway) -> None:
    answer = await gateway.http.put("/v1/items/m1", json={"scenarios": ["video", "cinema"]})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "scenarios"]


@pytest.mark.parametrize(
    ("item", "field", "kind"),
    [
        ({"title": "x" * 1025}, "title", "too_long"),
        ({"text": "x" * 65_537}, "text", "too_long"),
        ({"categories": ["c"] * 65}, "categories", "too_long"),
        ({"categories": [""]}, "categories", "empty_name"),
        ({"attributes": {"a": "x" * 1025}}, "attributes", "too_long"),
        ({"published_at": 2**63}, "published_at", "out_of_range"),
    ],
)
async def test_an_invalid_item_is_refused_by_field(
    gateway: RunningGateway, item: dict[str, Any], field: str, kind: str
) -> None:
    answer = await gateway.http.put("/v1/items/m1", json=item)
    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert (problem["loc"], problem["type"]) == (["body", field], kind)
    assert await gateway.read(ITEMS) == []


async def test_an_item_may_be_older_than_1970(gateway: RunningGateway) -> None:
    assert (await gateway.http.put("/v1/items/nosferatu", json={"published_at": -1_500_000_000_000})).status_code == 200


async def test_a_refusal_states_what_was_expected_and_what_to_do(gateway: RunningGateway) -> None:
    answer = await gateway.http.post("/v1/events", json=click(action="wishlist"))
    assert answer.json()["detail"][0]["msg"] == (
        "unknown action 'wishlist' in scenario video. Supported: impression, search, skip, click, play, like, rate, comment, share."
        " Use the closest one, or add it to scenarios.yaml."
    )


async def test_an_empty_event_id_is_replaced(gateway: RunningGateway) -> None:
    answer = await gateway.http.post("/v1/events", json=[click(event_id=""), click(event_id="")])
    event_ids = [event["event_id"] for event in answer.json()["accepted"]]
    assert answer.status_code == 202
    assert all(event_ids)
    assert len(set(event_ids)) == 2


async def test_more_events_of_a_user_than_features_remembers_are_refused(gateway: RunningGateway) -> None:
    """If they were sent again after a failure, the first ones would count twice."""
    events = [click(event_id=f"e{number}") for number in range(REMEMBERED_EVENTS + 1)]
    answer = await gateway.http.post("/v1/events", json=events)
    assert answer.status_code == 422
    message = "user u1 has 101 events in this request; the maximum is 100. Split the request."
    assert answer.json()["detail"] == [{"loc": ["body", "user_id"], "type": "too_long", "msg": message}]
    assert (await gateway.http.post("/v1/events", json=events[1:])).status_code == 202


async def test_many_invalid_events_are_refused_with_one_problem(gateway: RunningGateway) -> None:
    answer = await gateway.http.post("/v1/events", json=[{}] * (MAX_BATCH_EVENTS + 1))
    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert problem["type"] == "too_long"


async def test_ids_may_contain_a_slash(gateway: RunningGateway) -> None:
    answer = await gateway.http.put("/v1/items/a%2Fb", json={"title": "Heat"})
    assert (answer.status_code, answer.json()) == (200, {"item_id": "a/b"})
    refused = await gateway.http.get("/v1/recommendations/a%2Fb", params={"scenario": "cinema"})
    assert refused.json()["detail"][0]["type"] == "unknown_scenario"
