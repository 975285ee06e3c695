"""The scorer as a process on a real broker, without a model."""

import time
from pathlib import Path

import pytest

from eddy.contract.codec import Codec
from eddy.contract.topics import (
    ITEM_EMBEDDINGS,
    ITEM_FEATURES,
    ITEMS,
    MODEL_RELEASES,
    RECOMMENDATION_REQUESTS,
    USER_FEATURES,
)
from tests.poll import poll_until
from tests.scorer.factories import NOW, history, item, item_features, item_ids_of, request_record, user_features
from tests.scorer.running import ScorerHarness

pytestmark = pytest.mark.stack

NAMES = [f"m{number}" for number in range(1, 41)]


async def _fill(harness: ScorerHarness) -> None:
    await harness.publish(ITEMS, *[item(name) for name in NAMES])
    await harness.publish(ITEM_FEATURES, *[item_features(name, acted=float(name[1:])) for name in NAMES])


async def test_answers_from_counts_and_follows_them(harness: ScorerHarness) -> None:
    await _fill(harness)
    await harness.publish(USER_FEATURES, user_features("u", ["m40"]))
    with harness.scorer() as scorer:
        await scorer.ready()
        async with harness.answers() as answers:
            await harness.ask(request_record("u", request_id="first"))
            first = await answers.to("first")
            assert item_ids_of(first)[:3] == ["m39", "m38", "m37"], harness.logs()
            assert (first["model_version"], first["applied_offset"]) == (0, 1)
            await harness.publish(USER_FEATURES, user_features("u", ["m40", "m39"]))
            await harness.ask(request_record("u", request_id="second", after_offset=2))
            second = await answers.to("second")
            assert item_ids_of(second)[:2] == ["m38", "m37"]
            assert second["applied_offset"] == 2
        assert scorer.metric("eddy_scorer_slates_total", 'trigger="request"') == 2
        assert scorer.stop() == 0


async def test_request_waits_for_its_user_s_features_and_delays_no_other(harness: ScorerHarness) -> None:
    await _fill(harness)
    # Waits for longer than its allowance, because no scorer runs yet.
    await harness.ask(
        request_record("dead", request_id="dead", deadline_at=NOW + 1), request_record("dead", request_id="newer")
    )
    with harness.scorer(max_wait_ms="15000") as scorer:
        await scorer.ready()
        async with harness.answers() as answers:
            await answers.to("newer")
            await harness.ask(
                request_record("held", request_id="held", after_offset=3),
                request_record("late", request_id="late", after_offset=3, deadline_at=NOW + 400),
                request_record("refused", request_id="refused", deadline_at=NOW),
                request_record("free", request_id="free"),
                *[
                    request_record(f"u{lead}", request_id=f"clock{lead}", requested_at=at, deadline_at=at + 2000)
                    for lead in (-10_000, 10_000)
                    for at in [round(time.time() * 1000) + lead]
                ],
            )
            for request_id in ("free", "clock-10000", "clock10000"):
                assert item_ids_of(await answers.to(request_id))
            assert (await answers.to("refused"))["refusal"]["field"] == "deadline_at"
            late = await answers.to("late")
            assert late["applied_offset"] == -1
            assert "held" not in answers.by_request_id
            await harness.publish(USER_FEATURES, user_features("held", ["m1", "m2", "m3"]))
            delayed = await answers.to("held", timeout_sec=5)
            assert delayed["applied_offset"] == 3
            assert "dead" not in answers.by_request_id
        assert scorer.metric("eddy_scorer_deadline_answers_total") == 1
        assert scorer.metric("eddy_scorer_dropped_requests_total") == 1


async def test_counts_slates_without_an_item(harness: ScorerHarness) -> None:
    await _fill(harness)
    await harness.publish(USER_FEATURES, user_features("all", NAMES))
    with harness.scorer() as scorer:
        await scorer.ready()
        async with harness.answers() as answers:
            await harness.ask(request_record("all", request_id="empty"), request_record("u", request_id="full"))
            assert item_ids_of(await answers.to("empty")) == []
            assert item_ids_of(await answers.to("full"))
        assert scorer.metric("eddy_scorer_empty_slates_total") == 1
        assert scorer.metric("eddy_scorer_slates_total") == 2


async def test_pushes_in_scenarios_with_push(harness: ScorerHarness) -> None:
    await _fill(harness)
    await harness.publish(ITEM_FEATURES, item_features("s1", counts=[], acted=1.0), item_features("s2"))
    before = user_features("old", history=history(["m1"], scenario="social"))
    await harness.publish(USER_FEATURES, before)
    with harness.scorer(push_limit="3") as scorer:
        await scorer.ready()
        async with harness.answers() as answers:
            update = user_features("u", history=history(["m2"], scenario="social"), applied_offset=7)
            await harness.publish(USER_FEATURES, update, user_features("v", ["m2"], applied_offset=8))
            await poll_until(lambda: answers.by_request_id, what="a pushed slate")
            # An impression advances the offset but not the history, so showing a slate pushes no other.
            await harness.publish(USER_FEATURES, {**update, "applied_offset": 9})
            await harness.ask(request_record("u", request_id="marker", after_offset=9))
            await answers.to("marker")
        pushed = [slate for name, slates in answers.by_request_id.items() for slate in slates if name != "marker"]
    assert [(slate["user_id"], slate["scenario"], slate["trigger"]) for slate in pushed] == [("u", "social", "push")]
    assert len(pushed[0]["items"]) == 3
    assert "m2" not in item_ids_of(pushed[0])


async def test_invalid_requests_and_bytes_become_dead_letters(harness: ScorerHarness) -> None:
    state_topics = (ITEMS, ITEM_FEATURES, USER_FEATURES, ITEM_EMBEDDINGS, MODEL_RELEASES, RECOMMENDATION_REQUESTS)
    for topic in state_topics:
        await harness.publish_raw(topic, (b"k", b"poison"), (b"k", b"\xc3\x01" + bytes(40)), (b"", b""))
    await _fill(harness)
    with harness.scorer() as scorer:
        await scorer.ready()
        async with harness.answers() as answers:
            for topic in state_topics:
                await harness.publish_raw(topic, (b"k", b"more poison"))
            await harness.publish_raw(ITEMS, (b"other", _bytes(ITEMS, item("m1"))))
            await harness.publish_raw(
                RECOMMENDATION_REQUESTS, (b"not u", _bytes(RECOMMENDATION_REQUESTS, request_record("u")))
            )
            await harness.ask(
                request_record("u", scenario="casino"), request_record("u", limit=0), request_record("", request_id="x")
            )
            await harness.ask(request_record("u", request_id="good"))
            assert item_ids_of(await answers.to("good"))[0] == "m40"
        assert scorer.metric("eddy_dead_letters_total", "undecodable") >= 3 * len(state_topics)
    reasons = [letter["reason"] for letter in await harness.dead_letters()]
    assert {"unknown_scenario", "bad_limit", "missing_user", "wrong_key", "undecodable"} == set(reasons)
    assert reasons.count("wrong_key") == 2
    assert {letter["service"] for letter in await harness.dead_letters()} == {"scorer"}


async def test_deleted_items_and_users_are_forgotten(harness: ScorerHarness) -> None:
    await _fill(harness)
    await harness.publish(USER_FEATURES, user_features("u", ["m39"]))
    with harness.scorer() as scorer:
        await scorer.ready()
        async with harness.answers() as answers:
            await harness.publish_raw(ITEMS, (b"m40", None))
            await harness.publish_raw(USER_FEATURES, (b"u", None))

            async def forgotten() -> bool:
                name = f"r{len(answers.by_request_id)}"
                await harness.ask(request_record("u", request_id=name))
                slate = await answers.to(name)
                return slate["applied_offset"] == -1 and item_ids_of(slate)[:2] == ["m39", "m38"]

            assert await poll_until(forgotten, what="a slate without the deleted item and history")


@pytest.mark.parametrize("setting", [{"max_batch": "0"}, {"session_timeout_sec": "1"}])
def test_invalid_setting_ends_in_one_line(
    kafka: str, topic_prefix: str, tmp_path: Path, setting: dict[str, str]
) -> None:
    harness = ScorerHarness(kafka, topic_prefix, tmp_path)
    with harness.scorer(**setting) as scorer:
        assert scorer.process.wait(timeout=30) == 1
    (line,) = harness.logs().strip().splitlines()
    assert line.startswith(f"scorer: EDDY_SCORER_{next(iter(setting)).upper()}:")


def _bytes(topic: str, record: dict[str, object]) -> bytes:
    return Codec.for_topic(topic).encode(record)
