"""The gateway with the scorer that answers it."""

import os

import pytest

from eddy_cli.ports import free_port
from tests.cli.processes import command
from tests.gateway.conftest import Served
from tests.poll import poll_until

pytestmark = pytest.mark.stack


async def test_items_put_over_http_come_back_as_recommendations(served: Served, kafka: str, topic_prefix: str) -> None:
    environment = {
        **os.environ,
        "EDDY_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "EDDY_TOPIC_PREFIX": topic_prefix,
        "EDDY_SCORER_HTTP_PORT": str(free_port()),
    }
    for number in range(30):
        body = {"title": f"Film {number}", "available": number != 7, "published_at": 1_700_000_000_000 + number}
        assert (await served.http.put(f"/v1/items/i{number}", json=body)).status_code == 200

    async def listed() -> list[dict[str, object]]:
        asked = {"scenario": "video", "limit": 10, "exclude": ["i8", "i9"]}
        answer = await served.http.get("/v1/recommendations/u1", params=asked)
        return list(answer.json()["items"]) if answer.status_code == 200 else []

    with command(["-m", "eddy_scorer"], environment):
        items = await poll_until(listed, what="a list from the scorer")
    assert [item["position"] for item in items] == list(range(10))
    shown = {item["item_id"] for item in items}
    assert len(shown) == 10
    assert not shown & {"i7", "i8", "i9"}
