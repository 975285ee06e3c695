"""GET /v1/recommendations: requests go to Kafka, answers come from Kafka, and waiting has a deadline."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from eddy.contract.codec import Codec
from eddy.contract.limits import MAX_QUERY_CHARS
from eddy.contract.topics import RECOMMENDATION_REQUESTS, RECOMMENDATIONS
from tests.cli.answering import answer_requests
from tests.gateway.conftest import NOW_MS, RunningGateway

ITEMS = [f"i{number}" for number in range(20)]


@pytest.fixture
def topic_prefix(common_prefix: str) -> str:
    return common_prefix


@pytest.fixture
async def answered(gateway: RunningGateway) -> AsyncIterator[RunningGateway]:
    """A gateway whose requests are all answered with the same items."""
    answering = asyncio.create_task(answer_requests(gateway.bus, ITEMS, version=7))
    yield gateway
    answering.cancel()
    await asyncio.wait([answering])


async def test_each_request_gets_its_own_answer(answered: RunningGateway) -> None:
    users = [f"u{number}" for number in range(20)]
    answers = await asyncio.gather(
        *(answered.http.get(f"/v1/recommendations/{user}", params={"scenario": "video", "limit": 5}) for user in users)
    )
    for user, answer in zip(users, answers, strict=True):
        body = answer.json()
        assert (answer.status_code, body["user_id"], body["model_version"]) == (200, user, 7)
        assert [item["item_id"] for item in body["items"]] == ITEMS[:5]
    assert len({answer.json()["request_id"] for answer in answers}) == len(users)


async def test_all_parameters_reach_the_scorer(gateway: RunningGateway) -> None:
    parameters: dict[str, Any] = {
        "scenario": "shop",
        "limit": 3,
        "query": "red shoes",
        "after_offset": 42,
        "exclude": ["a", "b"],
    }
    answer = await gateway.http.get("/v1/recommendations/u1", params=parameters)
    assert answer.status_code == 504
    ((_, request),) = await gateway.read(RECOMMENDATION_REQUESTS)
    assert {name: request[name] for name in parameters} == parameters
    assert request["requested_at"] == NOW_MS
    assert request["deadline_at"] == NOW_MS + 500


async def test_a_missing_answer_is_504_with_what_to_check(gateway: RunningGateway) -> None:
    answer = await gateway.http.get("/v1/recommendations/u1", params={"scenario": "video"})
    assert answer.status_code == 504
    assert "scorer" in answer.json()["detail"]


async def test_undecodable_slates_do_not_stop_the_gateway(answered: RunningGateway) -> None:
    async with answered.bus.producer() as producer:
        broken = Codec.of("user_event").header + b"junk"
        await producer.send_all(RECOMMENDATIONS, [("u1", b""), ("u2", b"junk"), ("u3", broken)])
    answer = await answered.http.get("/v1/recommendations/u1", params={"scenario": "video"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"scenario": "cinema"}, "scenario"),
        ({}, "scenario"),
        ({"scenario": "video", "limit": 0}, "limit"),
        ({"scenario": "video", "limit": 501}, "limit"),
        ({"scenario": "video", "limit": "many"}, "limit"),
        ({"scenario": "video", "query": "x" * (MAX_QUERY_CHARS + 1)}, "query"),
        ({"scenario": "video", "after_offset": -1}, "after_offset"),
        ({"scenario": "video", "after_offset": 2**63}, "after_offset"),
        ({"scenario": "video", "exclude": ["x" * 257]}, "exclude"),
        ({"scenario": "video", "exclude": [""]}, "exclude"),
        ({"scenario": "video", "category": "Shoes"}, "category"),
        ({"scenario": "video", "max_price": "20", "offset": "10"}, "max_price"),
        ({"scenario": "video", "Limit": "3"}, "Limit"),
    ],
)
async def test_an_invalid_parameter_is_refused_by_field(
    gateway: RunningGateway, params: dict[str, Any], field: str
) -> None:
    answer = await gateway.http.get("/v1/recommendations/u1", params=params)
    assert answer.status_code == 422
    assert field in answer.json()["detail"][0]["loc"]
    assert await gateway.read(RECOMMENDATION_REQUESTS) == []


async def test_unknown_parameters_are_refused_on_every_route(gateway: RunningGateway) -> None:
    """All of them are named, with those that exist."""
    answer = await gateway.http.get("/v1/recommendations/u1?scenario=video&category=Shoes&offset=10")
    names = [problem["loc"] for problem in answer.json()["detail"]]
    assert (answer.status_code, names) == (422, [["query", "category"], ["query", "offset"]])
    assert "Supported: scenario, limit, query, after_offset, exclude." in answer.json()["detail"][0]["msg"]
    event = {"user_id": "u", "scenario": "video", "action": "click", "item_id": "m1"}
    for method, path, body in (("POST", "/v1/events", event), ("PUT", "/v1/items/m1", {})):
        refused = await gateway.http.request(method, f"{path}?dry_run=true", json=body)
        assert refused.status_code == 422
        assert refused.json()["detail"][0]["msg"] == "unknown query parameter 'dry_run'. This route has none."


async def test_a_parameter_with_several_values_is_refused_unless_it_is_a_list(gateway: RunningGateway) -> None:
    path = "/v1/recommendations/u1?scenario=video"
    for repeated in ("scenario=video", "limit=5&limit=6", "query=a&query=b", "after_offset=1&after_offset=1"):
        answer = await gateway.http.get(f"{path}&{repeated}")
        (problem,) = answer.json()["detail"]
        name = repeated.partition("=")[0]
        assert (answer.status_code, problem["loc"]) == (422, ["query", name])
        assert problem["msg"] == f"{name} is given 2 times. Give one value."
    answer = await gateway.http.get(f"{path}&exclude=a&exclude=b&limit=0")
    assert [problem["loc"] for problem in answer.json()["detail"]] == [["query", "limit"]]


async def test_health_metrics_and_reference_are_served(gateway: RunningGateway) -> None:
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
        assert (await gateway.http.get(path)).status_code == 200
    await gateway.http.get("/v1/recommendations/u1", params={"scenario": "cinema"})
    metrics = (await gateway.http.get("/metrics")).text
    assert 'eddy_gateway_http_requests_total{route="/v1/recommendations/{user_id}",status="422"}' in metrics
