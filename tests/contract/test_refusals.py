"""The scorer refuses an invalid request at once with the reason, over Kafka and through the gateway."""

import time
from pathlib import Path

import pytest
import yaml

from eddy.clock import SystemClock
from eddy.contract.codec import Codec, Record
from eddy.contract.limits import MAX_ECHO_CHARS, MAX_QUERY_CHARS
from eddy.contract.topics import RECOMMENDATION_REQUESTS
from eddy.paths import REPO_ROOT
from eddy_gateway.settings import GatewaySettings
from tests.gateway.conftest import serving
from tests.scorer.factories import request_record
from tests.scorer.running import ScorerHarness

pytestmark = pytest.mark.stack

PARTITIONS = 2


async def test_invalid_requests_over_kafka_get_a_refusal_and_a_dead_letter(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    harness = ScorerHarness(kafka, topic_prefix, tmp_path, PARTITIONS)
    await harness.bus.create_topics()
    long_id = "x" * (3 * 2**20)
    with harness.scorer() as scorer:
        await scorer.ready()
        async with harness.answers() as answers:
            await harness.ask(
                request_record(request_id="long", query="q" * (MAX_QUERY_CHARS + 1)),
                request_record(request_id="nowhere", scenario="casino"),
                request_record("", request_id="nobody"),
                request_record(request_id=""),
                request_record(request_id=long_id),
            )
            stray = Codec.for_topic(RECOMMENDATION_REQUESTS).encode(request_record(request_id="stray"))
            await harness.publish_raw(RECOMMENDATION_REQUESTS, (b"not u", stray), (b"u", b"no request"))
            await harness.ask(request_record(request_id="good"))
            refused = {name: await answers.to(name) for name in ("long", "nowhere", "nobody", "stray")}
            assert (await answers.to("good"))["refusal"] is None, harness.logs()
            echoed = await answers.to(long_id[:MAX_ECHO_CHARS])
        assert scorer.stop() == 0
    reasons = {name: (_refusal(record)["reason"], _refusal(record)["field"]) for name, record in refused.items()}
    assert reasons == {
        "long": ("too_long", "query"),
        "nowhere": ("unknown_scenario", "scenario"),
        "nobody": ("missing_user", "user_id"),
        "stray": ("wrong_key", "user_id"),
    }
    assert _refusal(echoed)["reason"] == "too_long"
    assert _refusal(refused["long"])["detail"] == "query has 257 characters; the maximum is 256. Shorten it."
    assert all(record["items"] == record["considered"] == [] for record in refused.values())
    assert set(answers.by_request_id) == {*refused, "good", long_id[:MAX_ECHO_CHARS]}
    letters = [letter["reason"] for letter in await harness.dead_letters()]
    assert sorted(letters) == sorted(
        [reason for reason, _ in reasons.values()] + ["unknown_request", "too_long", "undecodable"]
    )


async def test_a_refused_request_is_a_422_without_waiting(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    """The scorer has a scenarios file of before `shop` was added; the gateway knows it already, so that its own check passes."""
    former = tmp_path / "former.yaml"
    document = yaml.safe_load((REPO_ROOT / "scenarios.yaml").read_text())
    del document["scenarios"]["shop"]
    former.write_text(yaml.safe_dump(document))
    harness = ScorerHarness(kafka, topic_prefix, tmp_path, PARTITIONS, former)
    settings = GatewaySettings(
        kafka_bootstrap_servers=kafka,
        topic_prefix=topic_prefix,
        topic_partitions=PARTITIONS,
        gateway_deadline_sec=30,
        gateway_grace_sec=30,
    )
    with harness.scorer() as scorer:
        await scorer.ready()
        async with serving(settings, SystemClock()) as gateway:
            own = await gateway.http.get("/v1/recommendations/u1", params={"scenario": "video", "query": "q" * 257})
            began = time.monotonic()
            refused = await gateway.http.get("/v1/recommendations/u1", params={"scenario": "shop"})
            waited = time.monotonic() - began
            answered = await gateway.http.get("/v1/recommendations/u1", params={"scenario": "video"})
    assert (own.status_code, refused.status_code, answered.status_code) == (422, 422, 200), harness.logs()
    (complaint,) = refused.json()["detail"]
    assert (complaint["loc"], complaint["type"]) == (["query", "scenario"], "unknown_scenario")
    assert complaint["msg"].startswith("unknown scenario 'shop'. Use one of: ")
    assert waited < settings.gateway_deadline_sec / 2


def _refusal(record: Record) -> Record:
    refusal = record["refusal"]
    assert refusal is not None
    return dict(refusal)
