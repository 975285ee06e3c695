"""The gateway with a scorer."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eddy.clock import SystemClock
from eddy_gateway.settings import GatewaySettings
from tests.gateway.conftest import RunningGateway, serving
from tests.poll import poll_until
from tests.service import running

pytestmark = pytest.mark.stack


@pytest.fixture
async def gateway(settings: GatewaySettings) -> AsyncIterator[RunningGateway]:
    """With the clock of the scorer, which leaves requests whose deadline is over unanswered."""
    async with serving(settings, SystemClock()) as gateway:
        yield gateway


async def test_items_put_over_http_come_back_as_recommendations(
    gateway: RunningGateway, kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    environment = {
        "EDDY_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "EDDY_TOPIC_PREFIX": topic_prefix,
    }
    for number in range(30):
        body = {"title": f"Film {number}", "available": number != 7, "published_at": 1_700_000_000_000 + number}
        assert (await gateway.http.put(f"/v1/items/i{number}", json=body)).status_code == 200

    async def recommended() -> list[dict[str, object]]:
        parameters = {"scenario": "video", "limit": 10, "exclude": ["i8", "i9"]}
        answer = await gateway.http.get("/v1/recommendations/u1", params=parameters)
        return list(answer.json()["items"]) if answer.status_code == 200 else []

    with running("scorer", environment, tmp_path / "scorer.log"):
        items = await poll_until(recommended, what="recommendations of the scorer")
    assert [item["position"] for item in items] == list(range(10))
    item_ids = {item["item_id"] for item in items}
    assert len(item_ids) == 10
    assert not item_ids & {"i7", "i8", "i9"}
