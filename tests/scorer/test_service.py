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
from tests.scorer.factories import history, item, item_features, request_record, shown, user_features
from tests.scorer.running import Place

pytestmark = pytest.mark.stack

NAMES = [f"m{number}" for number in range(1, 41)]


async def _fill(place: Place) -> None:
    await place.publish(ITEMS, *[item(name) for name in NAMES])
    await place.publish(ITEM_FEATURES, *[item_features(name, acted=float(name[1:])) for name in NAMES])


async def test_answers_from_counts_and_follows_them(place: Place) -> None:
    await _fill(place)
    await place.publish(USER_FEATURES, user_features("u", ["m40"]))
    with place.scorer() as scorer:
        await scorer.ready()
        async with place.answers() as answers:
            await place.ask(request_record("u", request_id="first"))
            first = await answers.to("first")
            assert shown(first)[:3] == ["m39", "m38", "m37"], place.logs()
            assert (first["model_version"], first["applied_offset"]) == (0, 1)
            await place.publish(USER_FEATURES, user_features("u", ["m40", "m39"]))
            await place.ask(request_record("u", request_id="second", after_offset=2))
            second = await answers.to("second")
            assert shown(second)[:2] == ["m38", "m37"]
            assert second["applied_offset"] == 2
        assert scorer.metric("eddy_scorer_slates_total", 'trigger="request"') == 2
        assert scorer.stop() == 0


async def test_request_is_held_for_its_user_s_features_and_delays_nobody(place: Place) -> None:
    await _fill(place)
    with place.scorer(max_wait_ms="15000") as scorer:
        await scorer.ready()
        async with place.answers() as answers:
            await place.ask(
                request_record("held", request_id="held", after_offset=3),
                request_record("late", request_id="late", after_offset=3, deadline_at=round(time.time() * 1000) + 400),
                request_record("free", request_id="free"),
            )
            await answers.to("free")
            late = await answers.to("late")
            assert late["applied_offset"] == -1
            assert "held" not in answers.lists
            await place.publish(USER_FEATURES, user_features("held", ["m1", "m2", "m3"]))
            held = await answers.to("held", timeout_sec=5)
            assert held["applied_offset"] == 3
        assert scorer.metric("eddy_scorer_deadline_answers_total") == 1


async def test_pushes_where_the_scenario_says_so(place: Place) -> None:
    await _fill(place)
    await place.publish(ITEM_FEATURES, item_features("s1", counts=[], acted=1.0), item_features("s2"))
    before = user_features("old", history=history(["m1"], scenario="social"))
    await place.publish(USER_FEATURES, before)
    with place.scorer(push_limit="3") as scorer:
        await scorer.ready()
        async with place.answers() as answers:
            update = user_features("u", history=history(["m2"], scenario="social"), applied_offset=7)
            await place.publish(USER_FEATURES, update, user_features("v", ["m2"], applied_offset=8))
            await poll_until(lambda: answers.lists, what="a pushed list")
            # An impression moves the offset and no history: showing a list does not push the next one.
            await place.publish(USER_FEATURES, {**update, "applied_offset": 9})
            await place.ask(request_record("u", request_id="marker", after_offset=9))
            await answers.to("marker")
        pushed = [found for name, lists in answers.lists.items() for found in lists if name != "marker"]
    assert [(found["user_id"], found["scenario"], found["trigger"]) for found in pushed] == [("u", "social", "push")]
    assert len(pushed[0]["items"]) == 3
    assert "m2" not in shown(pushed[0])


async def test_bad_requests_and_poison_bytes_are_kept_and_stop_nothing(place: Place) -> None:
    state_topics = (ITEMS, ITEM_FEATURES, USER_FEATURES, ITEM_EMBEDDINGS, MODEL_RELEASES, RECOMMENDATION_REQUESTS)
    for topic in state_topics:
        await place.publish_raw(topic, (b"k", b"poison"), (b"k", b"\xc3\x01" + bytes(40)), (b"", b""))
    await _fill(place)
    with place.scorer() as scorer:
        await scorer.ready()
        async with place.answers() as answers:
            for topic in state_topics:
                await place.publish_raw(topic, (b"k", b"more poison"))
            await place.publish_raw(ITEMS, (b"other", _bytes(ITEMS, item("m1"))))
            await place.publish_raw(
                RECOMMENDATION_REQUESTS, (b"not u", _bytes(RECOMMENDATION_REQUESTS, request_record("u")))
            )
            await place.ask(
                request_record("u", scenario="casino"), request_record("u", limit=0), request_record("", request_id="x")
            )
            await place.ask(request_record("u", request_id="good"))
            assert shown(await answers.to("good"))[0] == "m40"
        assert scorer.metric("eddy_dead_letters_total", "undecodable") >= 3 * len(state_topics)
    reasons = [letter["reason"] for letter in await place.dead_letters()]
    assert {"unknown_scenario", "bad_limit", "missing_user", "wrong_key", "undecodable"} == set(reasons)
    assert reasons.count("wrong_key") == 2
    assert {letter["service"] for letter in await place.dead_letters()} == {"scorer"}


async def test_deleted_items_and_users_are_forgotten(place: Place) -> None:
    await _fill(place)
    await place.publish(USER_FEATURES, user_features("u", ["m39"]))
    with place.scorer() as scorer:
        await scorer.ready()
        async with place.answers() as answers:
            await place.publish_raw(ITEMS, (b"m40", None))
            await place.publish_raw(USER_FEATURES, (b"u", None))

            async def forgotten() -> bool:
                name = f"r{len(answers.lists)}"
                await place.ask(request_record("u", request_id=name))
                found = await answers.to(name)
                return found["applied_offset"] == -1 and shown(found)[:2] == ["m39", "m38"]

            assert await poll_until(forgotten, what="a list without what was deleted")


@pytest.mark.parametrize("setting", [{"max_batch": "0"}, {"session_timeout_sec": "1"}])
def test_bad_setting_ends_in_one_line(kafka: str, topic_prefix: str, tmp_path: Path, setting: dict[str, str]) -> None:
    place = Place(kafka, topic_prefix, tmp_path)
    with place.scorer(**setting) as scorer:
        assert scorer.process.wait(timeout=30) == 1
    (line,) = place.logs().strip().splitlines()
    assert line.startswith(f"scorer: EDDY_SCORER_{next(iter(setting)).upper()}:")


def _bytes(topic: str, record: dict[str, object]) -> bytes:
    return Codec.for_topic(topic).encode(record)
