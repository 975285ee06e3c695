"""GET /v1/recommendations: the question goes to Kafka, the answer comes from there, and silence has a deadline."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from eddy.contract.codec import Codec
from eddy.contract.limits import MAX_QUERY_CHARS
from eddy.contract.topics import RECOMMENDATION_REQUESTS, RECOMMENDATIONS
from tests.cli.answering import answer_requests
from tests.gateway.conftest import NOW_MS, Served

ITEMS = [f"i{number}" for number in range(20)]


@pytest.fixture
async def answered(served: Served) -> AsyncIterator[Served]:
    """With somebody who answers every request with the same items."""
    answering = asyncio.create_task(answer_requests(served.bus, ITEMS, version=7))
    yield served
    answering.cancel()
    await asyncio.wait([answering])


async def test_a_list_comes_back_to_who_asked(answered: Served) -> None:
    users = [f"u{number}" for number in range(20)]
    answers = await asyncio.gather(
        *(answered.http.get(f"/v1/recommendations/{user}", params={"scenario": "video", "limit": 5}) for user in users)
    )
    for user, answer in zip(users, answers, strict=True):
        body = answer.json()
        assert (answer.status_code, body["user_id"], body["model_version"]) == (200, user, 7)
        assert [item["item_id"] for item in body["items"]] == ITEMS[:5]
    assert len({answer.json()["request_id"] for answer in answers}) == len(users)


async def test_the_question_reaches_the_scorer_whole(served: Served) -> None:
    wanted: dict[str, Any] = {
        "scenario": "shop",
        "limit": 3,
        "query": "red shoes",
        "after_offset": 42,
        "exclude": ["a", "b"],
    }
    answer = await served.http.get("/v1/recommendations/u1", params=wanted)
    assert answer.status_code == 504
    ((_, asked),) = await served.read(RECOMMENDATION_REQUESTS)
    assert {name: asked[name] for name in wanted} == wanted
    assert asked["requested_at"] == NOW_MS
    assert asked["deadline_at"] == NOW_MS + 500


async def test_silence_is_answered_with_what_to_look_at(served: Served) -> None:
    answer = await served.http.get("/v1/recommendations/u1", params={"scenario": "video"})
    assert answer.status_code == 504
    assert "scorer" in answer.json()["detail"]


async def test_broken_lists_do_not_stop_the_gateway(answered: Served) -> None:
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
    ],
)
async def test_a_bad_question_is_refused_by_field(served: Served, params: dict[str, Any], field: str) -> None:
    answer = await served.http.get("/v1/recommendations/u1", params=params)
    assert answer.status_code == 422
    assert field in answer.json()["detail"][0]["loc"]
    assert await served.read(RECOMMENDATION_REQUESTS) == []


async def test_health_metrics_and_the_page_are_there(served: Served) -> None:
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
        assert (await served.http.get(path)).status_code == 200
    await served.http.get("/v1/recommendations/u1", params={"scenario": "cinema"})
    metrics = (await served.http.get("/metrics")).text
    assert 'eddy_gateway_http_requests_total{route="/v1/recommendations/{user_id}",status="422"}' in metrics
