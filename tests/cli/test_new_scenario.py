"""A scenario added to a running stack: every service adopts it, and a click in it is labelled and trained on."""

from pathlib import Path
from typing import Any

import pytest

from eddy.contract.codec import Codec
from eddy.contract.topics import DEAD_LETTERS, TRAINING_EXAMPLES
from eddy.kafka.bus import Bus
from eddy.paths import REPO_ROOT
from eddy.settings import Settings, load
from tests.poll import poll_until
from tests.service import filled_slate, read_all, running_together

pytestmark = pytest.mark.stack

SERVICES = ("features", "joiner", "scorer", "trainer", "gateway")
ADDED = """
  podcasts:
    id: 15
    actions: {impression: {weight: 0, needs_item: false}, click: {weight: 1}, play: {weight: 2}}
    attribution_window_sec: 60
"""


async def test_every_service_adopts_a_new_scenario(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    path = tmp_path / "scenarios.yaml"
    path.write_text((REPO_ROOT / "scenarios.yaml").read_text())
    environment = {
        "EDDY_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "EDDY_TOPIC_PREFIX": topic_prefix,
        "EDDY_STATE_DIR": str(tmp_path / "state"),
        "EDDY_SCENARIOS_PATH": str(path),
    }
    bus = Bus(load(Settings, environment))
    await bus.create_topics()
    with running_together(SERVICES, environment, tmp_path) as services:
        gateway = services["gateway"]
        for number in range(20):
            gateway.ask("PUT", f"/v1/items/i{number}", {"title": f"Item {number}", "scenarios": ["video"]})
        assert gateway.ask("POST", "/v1/events", event("i1", "play"))["detail"][0]["loc"][-1] == "scenario"

        path.write_text(path.read_text() + ADDED)
        for service in services.values():
            await poll_until(
                lambda log=service.log: "scenario=podcasts" in log.read_text(), what=f"{service.log} knows"
            )
        for number in range(20, 40):
            gateway.ask("PUT", f"/v1/items/i{number}", {"title": f"Episode {number}", "scenarios": ["podcasts"]})
        offset = gateway.ask("POST", "/v1/events", event("i21", "play"))["accepted"][0]["offset"]

        listed = await filled_slate(
            gateway, f"/v1/recommendations/u?scenario=podcasts&limit=5&after_offset={offset}", 5
        )
        items = [item["item_id"] for item in listed["items"]]
        assert len(items) == 5
        assert listed["applied_offset"] == offset
        assert set(items) <= {f"i{number}" for number in range(20, 40)}

        answer = {"request_id": listed["request_id"]}
        gateway.ask("POST", "/v1/events", event(None, "impression") | answer)
        gateway.ask("POST", "/v1/events", event(items[0], "click") | answer | {"position": 0})
        await poll_until(lambda: services["trainer"].metric("eddy_trainer_examples_total", 'kind="label"') > 0)
        await poll_until(lambda: services["trainer"].metric("eddy_trainer_releases_total") > 0)

    examples = [
        Codec.for_topic(TRAINING_EXAMPLES).decode(each.value) for each in await read_all(bus, TRAINING_EXAMPLES)
    ]
    assert {example["scenario"] for example in examples} == {"podcasts"}
    assert await read_all(bus, DEAD_LETTERS) == []


def event(item_id: str | None, action: str) -> dict[str, Any]:
    return {"user_id": "u", "scenario": "podcasts", "action": action, "item_id": item_id}
