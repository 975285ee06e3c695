"""The Kafka adapter against a real broker."""

from typing import Any

import pytest

from eddy.contract.codec import Codec
from eddy.contract.dead_letter import dead_letter_of
from eddy.contract.limits import MAX_REQUEST_BYTES
from eddy.contract.message import Message
from eddy.contract.topics import DEAD_LETTERS, ITEMS, USER_EVENTS, topics
from eddy.errors import FatalError, PoisonError
from eddy.kafka.bus import Bus, settle
from eddy.settings import Settings


def bus(servers: str, prefix: str, partitions: int | None = None) -> Bus:
    return Bus(Settings(kafka_bootstrap_servers=servers, topic_prefix=prefix, topic_partitions=partitions))


@pytest.mark.parametrize("compression", ["none", "snappy", "lz4", "zstd"])
async def test_records_of_any_compression_are_read(kafka: str, topic_prefix: str, compression: Any) -> None:
    own = Bus(Settings(kafka_bootstrap_servers=kafka, topic_prefix=topic_prefix, kafka_compression=compression))
    await own.create_topics()
    async with own.producer() as producer:
        await producer.send_all(USER_EVENTS, [("u", bytes(1000)), ("u", b"x" * 1000)])
    assert [message.value for message in await read_all(own, USER_EVENTS, 2)] == [bytes(1000), b"x" * 1000]


async def test_group_without_commits_has_no_offsets(kafka: str, topic_prefix: str) -> None:
    own = bus(kafka, topic_prefix)
    await own.create_topics()
    assert await own.committed("nobody", USER_EVENTS) == {}


async def read_all(own: Bus, topic: str, count: int) -> list[Message]:
    async with own.reader(own.topic_partitions(topic)) as reader:
        ends = await reader.end_offsets()
        messages: list[Message] = []
        while not await reader.at_end(ends):
            messages += await reader.batch()
        assert len(messages) == count
        return messages


async def test_records_are_read_in_order_within_a_key(kafka: str, topic_prefix: str) -> None:
    own = bus(kafka, topic_prefix)
    await own.create_topics()
    sent = [(f"u{number % 7}", str(number).encode()) for number in range(500)]
    async with own.producer() as producer:
        await producer.send_all(USER_EVENTS, sent)
    messages = await read_all(own, USER_EVENTS, 500)
    for key in {key for key, _ in sent}:
        assert [m.value for m in messages if m.key == key.encode()] == [value for other, value in sent if other == key]
        assert len({m.partition for m in messages if m.key == key.encode()}) == 1
    assert {message.topic for message in messages} == {USER_EVENTS}


async def test_key_has_the_same_partition_in_every_topic(kafka: str, topic_prefix: str) -> None:
    own = bus(kafka, topic_prefix)
    await own.create_topics()
    async with own.producer() as producer:
        for topic in (USER_EVENTS, ITEMS):
            await producer.send_all(topic, [(f"k{number}", b"") for number in range(50)])
    partitions_by_key = [{m.key: m.partition for m in await read_all(own, topic, 50)} for topic in (USER_EVENTS, ITEMS)]
    assert partitions_by_key[0] == partitions_by_key[1]


async def test_creating_topics_twice_changes_nothing(kafka: str, topic_prefix: str) -> None:
    own = bus(kafka, topic_prefix)
    await own.create_topics()
    await own.create_topics()
    assert await own.existing_topics() == {topic_prefix + name for name in topics()}


async def test_deleting_topics_leaves_other_prefixes_alone(kafka: str, topic_prefix: str) -> None:
    own, other = bus(kafka, f"{topic_prefix}own."), bus(kafka, f"{topic_prefix}other.")
    await own.create_topics()
    await other.create_topics()
    await own.delete_topics()
    assert await bus(kafka, topic_prefix).existing_topics() == {other.full_name(name) for name in topics()}
    with pytest.raises(FatalError, match="EDDY_TOPIC_PREFIX"):
        await bus(kafka, "").delete_topics()


async def test_reader_without_partitions_starts_and_stops(kafka: str, topic_prefix: str) -> None:
    async with bus(kafka, topic_prefix).reader([]) as reader:
        assert reader.assignment() == set()


async def test_other_partition_count_is_refused(kafka: str, topic_prefix: str) -> None:
    await bus(kafka, topic_prefix, partitions=2).create_topics()
    with pytest.raises(FatalError, match="EDDY_TOPIC_PARTITIONS"):
        await bus(kafka, topic_prefix, partitions=3).create_topics()


async def test_missing_broker_is_one_line_that_says_what_to_do() -> None:
    with pytest.raises(FatalError, match="make broker"):
        async with bus("127.0.0.1:1", "").producer():
            pass


async def test_a_topic_that_cannot_be_created_is_named_with_its_setting(kafka: str, topic_prefix: str) -> None:
    own = Bus(Settings(kafka_bootstrap_servers=kafka, topic_prefix=topic_prefix, topic_replication=3))
    with pytest.raises(FatalError, match="EDDY_TOPIC_REPLICATION=3"):
        await own.create_topics()


def test_a_dead_letter_fits_into_its_topic() -> None:
    message = Message(USER_EVENTS, 0, 0, b"u", bytes(MAX_REQUEST_BYTES + 1), 0)
    letter = dead_letter_of(message, PoisonError("undecodable"), "features", USER_EVENTS, 0)
    assert len(Codec.for_topic(DEAD_LETTERS).encode(letter)) < MAX_REQUEST_BYTES


async def test_batch_takes_what_fits_and_the_next_one_the_rest(kafka: str, topic_prefix: str) -> None:
    own = bus(kafka, topic_prefix)
    await own.create_topics()
    records = [(b"u", str(number).encode() * 300) for number in range(100)]
    async with own.producer(max_batch_size=4096) as producer:
        first = await producer.send_batch(USER_EVENTS, 0, records)
        assert 0 < first.count < 100
        assert (await first.first_offset(), await first.last_offset()) == (0, first.count - 1)
        assert await producer.write(USER_EVENTS, 0, records[first.count :]) == 99
    assert [message.value for message in await read_all(own, USER_EVENTS, 100)] == [value for _, value in records]


async def test_offsets_come_in_the_order_of_the_requested_partitions(kafka: str, topic_prefix: str) -> None:
    """Trainers compare and publish them by position, and a broker answers in an order of its own."""
    own = bus(kafka, topic_prefix, partitions=8)
    await own.create_topics()
    partitions = own.topic_partitions(USER_EVENTS)
    async with own.reader(partitions) as reader:
        for requested in (partitions, partitions[::-1]):
            assert list(await reader.end_offsets(requested)) == list(requested)
            assert list(await reader.beginning_offsets(requested)) == list(requested)
        assert list(await reader.end_offsets()) == list(partitions)


async def test_partition_converts_to_the_client_class(kafka: str, topic_prefix: str) -> None:
    own = bus(kafka, topic_prefix, partitions=2)
    await own.create_topics()
    first, second = own.topic_partitions(USER_EVENTS)
    async with own.producer() as producer:
        await settle([await producer.send(USER_EVENTS, "u", b"x", partition=1) for _ in range(5)])
    async with own.reader([first, second]) as reader:
        assert await reader.end_offsets() == {first: 0, second: 5}
        assert await reader.beginning_offsets() == {first: 0, second: 0}
        reader.seek(second, 3)
        messages: list[Message] = []
        while not await reader.at_end({second: 5}):
            messages += await reader.batch(200, 1000, second)
        assert [message.offset for message in messages] == [3, 4]
        assert reader.cached_end(second) == 5
        assert reader.cached_end(second._replace(partition=7)) is None
        assert all(type(partition) is type(first) for partition in reader.assignment())


async def test_transaction_is_atomic_with_its_offsets(kafka: str, topic_prefix: str) -> None:
    own = bus(kafka, topic_prefix)
    await own.create_topics()
    source = own.topic_partitions(USER_EVENTS, [0])[0]
    async with own.transactional_producer("writer") as producer:
        for value, end in ((b"taken back", producer.abort), (b"kept", producer.commit)):
            await producer.begin()
            await (await producer.send(ITEMS, "a", value))
            await producer.send_offsets({source: (7, value.decode())}, own.full_name("group"))
            await end()
    assert [message.value for message in await read_all(own, ITEMS, 1)] == [b"kept"]
    assert await own.commits("group", USER_EVENTS) == {source: (7, "kept")}
