"""A worker on a real Kafka, with what publishers and other writers may do to its topics."""

import random
from pathlib import Path

import pytest
from aiokafka.partitioner import DefaultPartitioner

from eddy.contract.topics import ITEM_FEATURES, ITEM_SIGNALS, USER_EVENTS, USER_FEATURES
from tests.features.environment import JUNK_KEY, FeaturesEnvironment
from tests.features.factories import Record, encoded, event, stream
from tests.features.reference import reference_features
from tests.poll import poll_until

pytestmark = pytest.mark.stack

JUNK: list[Record] = [(JUNK_KEY, b"junk"), (JUNK_KEY, b""), (None, b"\xc3\x01nobody's schema")]


async def test_junk_on_every_topic_stops_nothing_and_is_kept(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    place = FeaturesEnvironment(kafka, topic_prefix, tmp_path, partitions=2)
    await place.bus.create_topics()
    for topic in (USER_EVENTS, ITEM_SIGNALS):
        await place.publish(JUNK, topic)
    for topic in (USER_FEATURES, ITEM_FEATURES):
        await place.publish([record for record in JUNK if record[0] is not None], topic)
    with place.worker() as worker:
        await place.publish(stream(seed=5, count=1500))
        await place.publish([*JUNK, (JUNK_KEY, random.Random(5).randbytes(4_000_000))], ITEM_SIGNALS)
        await poll_until(place.done, what="everything handled")
        labels = 'reason="undecodable",service="features",topic="item-signals"'
        assert worker.metric("eddy_dead_letters_total", labels) == 7
        assert worker.stop() == 0, place.logs()
    expected = reference_features(await place.event_logs())
    assert await place.user_features() == expected.user_features()
    assert (await place.item_features()).keys() == expected.item_features().keys()
    assert await place.dead_letters() == expected.dead
    refused = await place.dead_letters(ITEM_SIGNALS)
    assert [reason for _, _, reason in refused] == ["undecodable"] * 7


async def test_records_stay_in_the_partition_of_what_they_come_from(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    place = FeaturesEnvironment(kafka, topic_prefix, tmp_path, partitions=3)
    await place.bus.create_topics()
    await place.publish([encoded(event(number, user_id=f"u{number % 30}")) for number in range(90)])
    with place.worker():
        await poll_until(place.done, what="all events handled")
    events = {message.key: message.partition for message in await place.everything(USER_EVENTS)}
    users = {message.key: message.partition for message in await place.everything(USER_FEATURES)}
    assert users == events
    partitioner = DefaultPartitioner()
    for topic in (ITEM_SIGNALS, ITEM_FEATURES):
        for message in await place.everything(topic):
            assert message.partition == partitioner(message.key, [0, 1, 2], [0, 1, 2])


async def test_restart_writes_nothing_and_duplicates_change_nothing(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    place = FeaturesEnvironment(kafka, topic_prefix, tmp_path, partitions=1)
    await place.bus.create_topics()
    records = [encoded(event(number, user_id=f"u{number % 7}")) for number in range(300)]
    await place.publish(records)
    with place.worker() as worker:
        await poll_until(place.done, what="all events handled")
        assert worker.stop() == 0, place.logs()
    users, items = await place.user_features(), await place.item_features()
    written = await place.ends(USER_FEATURES)
    with place.worker() as worker:
        await poll_until(worker.is_ready, what="ready again")
        assert await place.ends(USER_FEATURES) == written
        await place.publish(records)
        await poll_until(place.done, what="duplicates handled")
        assert worker.metric("eddy_features_duplicates_total") == 300
    moved = {user: {**record, "applied_offset": record["applied_offset"] + 300} for user, record in users.items()}
    assert await place.user_features() == moved
    assert await place.item_features() == items


async def test_what_a_publisher_took_back_did_not_happen(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    place = FeaturesEnvironment(kafka, topic_prefix, tmp_path, partitions=1)
    await place.bus.create_topics()
    turns = [encoded(event(number, user_id="u")) for number in range(40)]
    with place.worker():
        async with place.bus.transactional_producer("publisher") as producer:
            for start in range(0, 40, 10):
                await producer.begin()
                for key, value in turns[start : start + 10]:
                    await producer.send(USER_EVENTS, key, value)
                await producer.flush()
                await (producer.commit if start % 20 else producer.abort)()
        await place.publish([encoded(event(40, user_id="u"))])
        await poll_until(place.done, what="everything handled")
    (user,) = (await place.user_features()).values()
    assert sum(user["counts"].values()) == 21


def test_worker_without_kafka_ends_in_one_line(topic_prefix: str, tmp_path: Path) -> None:
    place = FeaturesEnvironment("127.0.0.1:1", topic_prefix, tmp_path, partitions=1)
    with place.worker() as worker:
        assert worker.process.wait(timeout=60) == 1
    assert "no Kafka at 127.0.0.1:1" in place.logs()
    assert "Traceback" not in place.logs()
