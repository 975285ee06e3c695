"""Records that are deleted before they are read: counted, logged, and the reader continues."""

from pathlib import Path

import pytest
from aiokafka import TopicPartition as RawPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from structlog.testing import capture_logs

from eddy.contract.topics import RECOMMENDATIONS, TRAINING_EXAMPLES, USER_EVENTS
from eddy.kafka.bus import Bus
from eddy.kafka.gaps import note_gap
from eddy.metrics import LOG_GAPS
from eddy.settings import Settings
from eddy_trainer.shell.topic_intake import TopicIntake
from tests.features.environment import FeaturesCluster
from tests.features.factories import encoded, event
from tests.joiner.factories import EVENTS, SLATES, event_record, slate_record
from tests.joiner.processes import all_joined, bus_of, joiners
from tests.poll import poll_until

NOW = 1_790_000_000_000


async def delete_before(bus: Bus, topic: str, offset: int, partition: int = 0) -> None:
    """As retention does."""
    client = AIOKafkaAdminClient(bootstrap_servers=bus.servers)
    await client.start()
    try:
        deleted = {RawPartition(bus.full_name(topic), partition): RecordsToDelete(offset)}
        await client.delete_records(deleted)
    finally:
        await client.close()


def gaps(topic: str, kind: str, partition: int = 0) -> float:
    return LOG_GAPS.labels(topic, str(partition), kind)._value.get()


@pytest.mark.unit
@pytest.mark.parametrize(
    ("position", "continues", "kind"),
    [(5, 5, None), (9, 9, None), (7, 7, None), (4, 5, "deleted"), (0, 5, "deleted"), (10, 5, "truncated")],
)
def test_a_position_outside_of_the_log_is_a_gap(position: int, continues: int, kind: str | None) -> None:
    with capture_logs() as logs:
        assert note_gap("a-topic", 3, position, 5, 9) == continues
    named = [(entry["kind"], entry["partition"], entry["from_offset"], entry["to_offset"]) for entry in logs]
    assert named == ([] if kind is None else [(kind, 3, position, 5)])


@pytest.mark.broker
async def test_readers_count_what_they_could_not_read(kafka: str, topic_prefix: str) -> None:
    bus = Bus(Settings(kafka_bootstrap_servers=kafka, topic_prefix=topic_prefix, topic_partitions=1))
    await bus.create_topics()
    (partition,) = bus.topic_partitions(TRAINING_EXAMPLES)
    async with bus.producer() as producer:
        await producer.send_all(TRAINING_EXAMPLES, [("u", b"record") for _ in range(10)])
    await delete_before(bus, TRAINING_EXAMPLES, 7)
    deleted, truncated = gaps(TRAINING_EXAMPLES, "deleted"), gaps(TRAINING_EXAMPLES, "truncated")
    async with bus.reader([partition]) as reader:
        first = await poll_until(lambda: reader.batch(200), 20, what="the first record that is left")
        assert [message.offset for message in first] == [7, 8, 9]
        assert gaps(TRAINING_EXAMPLES, "deleted") == deleted  # a new reader has not missed anything
        reader.seek(partition, 3)
        again = await poll_until(lambda: reader.batch(200), 20, what="the records after the gap")
        assert [message.offset for message in again] == [7, 8, 9]
        assert gaps(TRAINING_EXAMPLES, "deleted") == deleted + 1
        reader.seek(partition, 500)
        again = await poll_until(lambda: reader.batch(200), 20, what="the records before the end")
        assert [message.offset for message in again] == [7, 8, 9]
        assert gaps(TRAINING_EXAMPLES, "truncated") == truncated + 1

        # The offsets of a trainer's checkpoint.
        intake = TopicIntake(TRAINING_EXAMPLES, reader, bus)
        for offset, counted in ((0, 0), (7, 0), (10, 0), (3, 1)):
            before = gaps(TRAINING_EXAMPLES, "deleted")
            await intake.seek([offset])
            assert intake.next_offsets == [max(offset, 7)]
            assert gaps(TRAINING_EXAMPLES, "deleted") == before + counted


@pytest.mark.stack
async def test_a_joiner_tells_that_events_were_deleted_while_it_was_stopped(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    bus = bus_of(kafka, topic_prefix)
    await bus.create_topics()
    partition = bus.partition_of("u")

    async def publish(first: int) -> None:
        async with bus.producer() as producer:
            slate = slate_record(f"r{first}", "u", ["a"], NOW + first)
            await producer.send_all(RECOMMENDATIONS, [("u", SLATES.encode(slate))])
            events = [event_record(f"e{first + number}", "u", "search", NOW + first + number) for number in range(10)]
            await producer.send_all(USER_EVENTS, [("u", EVENTS.encode(event)) for event in events])

    with joiners(kafka, topic_prefix, tmp_path) as group:
        first = group.start("one")
        await publish(0)
        await all_joined(bus)
        assert first.metric("eddy_log_gaps_total") == 0
        first.kill()
        await publish(10)
        await delete_before(bus, USER_EVENTS, 15, partition)
        second = group.start("one")
        await all_joined(bus)
        await second.ready()
        labels = f'kind="deleted",partition="{partition}",topic="user-events"'
        await poll_until(lambda: second.metric("eddy_log_gaps_total", labels) >= 1, 30, what="the gap")


@pytest.mark.stack
async def test_features_tells_that_events_were_deleted_while_it_was_stopped(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    """Faust reads on its own: the head of the log is gone, so that the committed offset is out of range."""
    cluster = FeaturesCluster(kafka, topic_prefix, tmp_path, partitions=2)
    await cluster.bus.create_topics()
    partition = cluster.bus.partition_of("u")
    events = [encoded(event(number, user_id="u", event_id=f"e{number}", item_id=f"i{number}")) for number in range(20)]
    await cluster.publish(events[:10])
    with cluster.worker() as first:
        await cluster.drained()
        assert first.metric("eddy_log_gaps_total") == 0
        first.kill()
    await cluster.publish(events[10:])
    await delete_before(cluster.bus, USER_EVENTS, 15, partition)
    with cluster.worker() as second:
        await cluster.drained()
        labels = f'kind="deleted",partition="{partition}",topic="user-events"'
        assert second.metric("eddy_log_gaps_total", labels) == 1
        assert second.metric("eddy_log_gaps_total") == 1
    (gap,) = [line for line in cluster.logs().splitlines() if "event=log_gap" in line]
    assert "from_offset=10 to_offset=15" in gap
    state = (await cluster.user_features())["u"]
    assert state["history"]["item_ids"][-6:] == ["i9", *(f"i{number}" for number in range(15, 20))]
