"""A worker on a real Kafka, with everything that other writers may do to its topics."""

import random
from pathlib import Path

import pytest
from aiokafka.partitioner import DefaultPartitioner
from confluent_kafka import Producer

from eddy.contract.codec import Codec
from eddy.contract.topics import (
    ERASURES,
    ITEM_FEATURES,
    ITEM_SIGNALS,
    RECOMMENDATIONS,
    USER_EVENTS,
    USER_FEATURES,
)
from tests.features.environment import JUNK_KEY, FeaturesCluster
from tests.features.factories import Record, encoded, event, slate, stream
from tests.features.reference import reference_features
from tests.poll import poll_until
from tests.topics import delete_topic

pytestmark = pytest.mark.stack

JUNK: list[Record] = [(JUNK_KEY, b"junk"), (JUNK_KEY, b""), (None, b"\xc3\x01nobody's schema")]


async def test_junk_on_every_topic_is_dead_lettered_and_stops_nothing(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    cluster = FeaturesCluster(kafka, topic_prefix, tmp_path, partitions=2)
    await cluster.bus.create_topics()
    for topic in (USER_EVENTS, ITEM_SIGNALS):
        await cluster.publish(JUNK, topic)
    for topic in (USER_FEATURES, ITEM_FEATURES):
        await cluster.publish([record for record in JUNK if record[0] is not None], topic)
    with cluster.worker() as worker:
        await cluster.publish(stream(seed=5, count=1500))
        await cluster.publish([*JUNK, (JUNK_KEY, random.Random(5).randbytes(4_000_000))], ITEM_SIGNALS)
        await cluster.drained()
        labels = 'reason="undecodable",service="features",topic="item-signals"'
        assert worker.metric("eddy_dead_letters_total", labels) == 7
        assert worker.stop() == 0, cluster.logs()
    expected = reference_features(await cluster.event_logs())
    assert await cluster.user_features() == expected.user_features()
    assert (await cluster.item_features()).keys() == expected.item_features().keys()
    assert await cluster.dead_letters() == expected.dead_letters
    refused = await cluster.dead_letters(ITEM_SIGNALS)
    assert [reason for _, _, reason in refused] == ["undecodable"] * 7


async def test_records_stay_in_the_partition_of_their_source(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    cluster = FeaturesCluster(kafka, topic_prefix, tmp_path, partitions=3)
    await cluster.bus.create_topics()
    await cluster.publish([encoded(event(number, user_id=f"u{number % 30}")) for number in range(90)])
    with cluster.worker():
        await cluster.drained()
    events = {message.key: message.partition for message in await cluster.all_messages(USER_EVENTS)}
    users = {message.key: message.partition for message in await cluster.all_messages(USER_FEATURES)}
    assert users == events
    partitioner = DefaultPartitioner()
    for topic in (ITEM_SIGNALS, ITEM_FEATURES):
        for message in await cluster.all_messages(topic):
            assert message.partition == partitioner(message.key, [0, 1, 2], [0, 1, 2])


async def test_an_impression_finds_the_slate_that_was_served_just_before(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    cluster = FeaturesCluster(kafka, topic_prefix, tmp_path, partitions=2)
    await cluster.bus.create_topics()
    users = [f"u{number}" for number in range(12)]
    impression = {"action": "impression", "item_id": None, "request_id": "r"}
    for half in (users[:6], users[6:]):
        with cluster.worker(instance_id="one"):
            for user in half:
                await cluster.publish([slate(user, "r", ["a", "b"])], RECOMMENDATIONS)
                await cluster.publish([encoded(event(user_id=user, event_id=f"{user}-seen", **impression))])
            await cluster.publish(
                [encoded(event(user_id=user, event_id=f"{user}-again", **impression)) for user in half]
            )
            await cluster.drained()
    rows = [record["counts"][0] for record in (await cluster.item_features()).values()]
    assert [(row["scenario"], row["shown"]) for row in rows] == [("video", 12)] * 2, cluster.logs()


async def test_a_client_with_another_partitioner_splits_no_user(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    """librdkafka's default partitioner (CRC-32): events outside the partition of their user are dead-lettered, and say what to set."""
    cluster = FeaturesCluster(kafka, topic_prefix, tmp_path, partitions=4)
    await cluster.bus.create_topics()
    await cluster.publish([encoded(event(number, user_id=f"u{number}")) for number in range(12)])
    foreign = Producer({"bootstrap.servers": kafka})
    for number in range(12, 36):
        key, value = encoded(event(number, user_id=f"u{number % 12}"))
        foreign.produce(cluster.bus.full_name(USER_EVENTS), value, key)
    assert foreign.flush(30) == 0
    with cluster.worker():
        await cluster.drained()
    right = {f"u{number}": cluster.bus.partition_of(f"u{number}") for number in range(12)}
    events = await cluster.all_messages(USER_EVENTS)
    astray = {(each.partition, each.offset) for each in events if each.partition != right[(each.key or b"").decode()]}
    assert 6 <= len(astray) < 24
    assert await cluster.dead_letters() == {(*place, "wrong_partition") for place in astray}
    users = await cluster.all_messages(USER_FEATURES)
    assert {(each.key or b"").decode(): each.partition for each in users} == right
    assert sum(sum(user["counts"].values()) for user in (await cluster.user_features()).values()) == 36 - len(astray)


async def test_events_of_a_topic_that_was_created_again_are_refused_loudly(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    """They have offsets that the states include already, or will have, be they of known users or of others."""
    cluster = FeaturesCluster(kafka, topic_prefix, tmp_path, partitions=1)
    await cluster.bus.create_topics()
    await cluster.publish([encoded(event(number)) for number in range(40)])
    with cluster.worker(instance_id="one"):
        await cluster.drained()
    await delete_topic(kafka, cluster.bus.full_name(USER_EVENTS))
    await cluster.bus.create_topics()
    await cluster.publish([encoded(event(number, user_id="u2")) for number in range(100, 200)])
    with cluster.worker(instance_id="one") as worker:
        await poll_until(lambda: worker.process.poll() is not None, 60, what="the worker has ended")
    assert worker.process.returncode == 1, cluster.logs()
    (line,) = [line for line in worker.log.read_text().splitlines() if line.startswith("features: ")]
    assert "a user includes events of another topic user-events than the present one" in line
    assert line.endswith("set EDDY_TOPIC_PREFIX to use new topics (docs/operating.md).")


async def test_restart_writes_nothing_and_duplicates_change_nothing(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    cluster = FeaturesCluster(kafka, topic_prefix, tmp_path, partitions=1)
    await cluster.bus.create_topics()
    records = [encoded(event(number, user_id=f"u{number % 7}")) for number in range(300)]
    await cluster.publish(records)
    with cluster.worker() as worker:
        await cluster.drained()
        assert worker.stop() == 0, cluster.logs()
    users, items = await cluster.user_features(), await cluster.item_features()
    ends = await cluster.ends(USER_FEATURES)
    with cluster.worker() as worker:
        await poll_until(worker.is_ready, what="ready again")
        assert await cluster.ends(USER_FEATURES) == ends
        await cluster.publish(records)
        await cluster.drained()
        assert worker.metric("eddy_features_duplicates_total") == 300
    advanced = {user: {**record, "applied_offset": record["applied_offset"] + 300} for user, record in users.items()}
    assert await cluster.user_features() == advanced
    assert await cluster.item_features() == items


async def test_aborted_transactions_are_ignored(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    cluster = FeaturesCluster(kafka, topic_prefix, tmp_path, partitions=1)
    await cluster.bus.create_topics()
    records = [encoded(event(number, user_id="u")) for number in range(40)]
    with cluster.worker():
        async with cluster.bus.transactional_producer("publisher") as producer:
            for start in range(0, 40, 10):
                await producer.begin()
                for key, value in records[start : start + 10]:
                    await producer.send(USER_EVENTS, key, value)
                await producer.flush()
                await (producer.commit if start % 20 else producer.abort)()
        await cluster.publish([encoded(event(40, user_id="u"))])
        await cluster.drained()
    (user,) = (await cluster.user_features()).values()
    assert sum(user["counts"].values()) == 21


async def test_a_user_whose_record_somebody_deleted_does_not_come_back(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    """A tombstone in user-features, as well as an order in `erasures`: the next click is the first of a new user."""
    cluster = FeaturesCluster(kafka, topic_prefix, tmp_path, partitions=2)
    await cluster.bus.create_topics()
    order = Codec.for_topic(ERASURES).encode({"id": "u2", "kind": "user", "requested_at": 1, "erased_offset": None})
    with cluster.worker() as worker:
        await cluster.publish([encoded(event(number, user_id=f"u{number % 4}")) for number in range(1, 41)])
        await cluster.drained()
        await cluster.publish([(b"u2", order)], ERASURES)
        owner = Producer({"bootstrap.servers": kafka})
        owner.produce(cluster.bus.full_name(USER_FEATURES), None, "u1", partition=cluster.bus.partition_of("u1"))
        assert owner.flush(30) == 0

        async def erased() -> bool:
            return not {"u1", "u2"} & (await cluster.user_features()).keys()

        await poll_until(erased, 30, what="both users erased")
        await cluster.publish([encoded(event(number, user_id=f"u{number % 3}")) for number in (49, 50)])
        await cluster.drained()
        assert worker.metric("eddy_features_erasures_total", 'kind="user"') == 2
        worker.kill()
    with cluster.worker():  # from the topics alone
        await cluster.publish([encoded(event(number, user_id=f"u{number % 3}")) for number in (52, 53)])
        await cluster.drained()
    users = await cluster.user_features()
    assert {name: user["history"]["item_ids"] for name, user in users.items() if name in ("u1", "u2")} == {
        "u1": ["m49", "m52"],
        "u2": ["m50", "m53"],
    }
    assert len(users["u3"]["history"]["item_ids"]) == 10
