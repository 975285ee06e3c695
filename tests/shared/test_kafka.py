"""The Kafka adapter against a real broker."""

from typing import Any

import pytest

from eddy.contract.codec import Codec
from eddy.contract.dead_letter import dead_letter_of
from eddy.contract.limits import MAX_REQUEST_BYTES
from eddy.contract.message import Message
from eddy.contract.topics import DEAD_LETTERS, ITEMS, USER_EVENTS, topics
from eddy.errors import FatalError, PoisonError
from eddy.kafka.bus import Bus
from eddy.settings import Settings


def bus(servers: str, prefix: str, partitions: int | None = None) -> Bus:
    return Bus(Settings(kafka_bootstrap_servers=servers, topic_prefix=prefix, topic_partitions=partitions))


@pytest.mark.parametrize("compression", ["none", "snappy", "lz4", "zstd"])
async def test_records_come_back_however_they_were_compressed(kafka: str, topic_prefix: str, compression: Any) -> None:
    own = Bus(Settings(kafka_bootstrap_servers=kafka, topic_prefix=topic_prefix, kafka_compression=compression))
    await own.create_topics()
    async with own.producer() as producer:
        await producer.send_all(USER_EVENTS, [("u", bytes(1000)), ("u", b"x" * 1000)])
    assert [message.value for message in await read_all(own, USER_EVENTS, 2)] == [bytes(1000), b"x" * 1000]


async def test_what_nobody_committed_is_nothing_also_on_a_new_broker(kafka: str, topic_prefix: str) -> None:
    own = bus(kafka, topic_prefix)
    await own.create_topics()
    assert await own.committed("nobody", USER_EVENTS) == {}


async def read_all(own: Bus, topic: str, count: int) -> list[Message]:
    async with own.reader(own.topic_partitions(topic)) as reader:
        ends = await reader.end_offsets()
        found: list[Message] = []
        while not await reader.at_end(ends):
            found += await reader.batch()
        assert len(found) == count
        return found


async def test_records_come_back_in_order_within_a_key(kafka: str, topic_prefix: str) -> None:
    own = bus(kafka, topic_prefix)
    await own.create_topics()
    sent = [(f"u{number % 7}", str(number).encode()) for number in range(500)]
    async with own.producer() as producer:
        await producer.send_all(USER_EVENTS, sent)
    found = await read_all(own, USER_EVENTS, 500)
    for key in {key for key, _ in sent}:
        assert [m.value for m in found if m.key == key.encode()] == [value for other, value in sent if other == key]
        assert len({m.partition for m in found if m.key == key.encode()}) == 1
    assert {message.topic for message in found} == {USER_EVENTS}


async def test_the_same_key_meets_itself_on_every_topic(kafka: str, topic_prefix: str) -> None:
    own = bus(kafka, topic_prefix)
    await own.create_topics()
    async with own.producer() as producer:
        for topic in (USER_EVENTS, ITEMS):
            await producer.send_all(topic, [(f"k{number}", b"") for number in range(50)])
    places = [{m.key: m.partition for m in await read_all(own, topic, 50)} for topic in (USER_EVENTS, ITEMS)]
    assert places[0] == places[1]


async def test_creating_topics_twice_changes_nothing(kafka: str, topic_prefix: str) -> None:
    own = bus(kafka, topic_prefix)
    await own.create_topics()
    await own.create_topics()
    async with own.reader(own.topic_partitions(ITEMS)) as reader:
        present = {name for name in await reader.raw.topics() if name.startswith(topic_prefix)}
    assert present == {topic_prefix + name for name in topics()}


async def test_deleting_topics_leaves_other_prefixes_alone(kafka: str, topic_prefix: str) -> None:
    own, other = bus(kafka, f"{topic_prefix}own."), bus(kafka, f"{topic_prefix}other.")
    await own.create_topics()
    await other.create_topics()
    await own.delete_topics()
    async with other.reader(other.topic_partitions(ITEMS)) as reader:
        present = {name for name in await reader.raw.topics() if name.startswith(topic_prefix)}
    assert present == {other.full_name(name) for name in topics()}
    with pytest.raises(FatalError, match="EDDY_TOPIC_PREFIX"):
        await bus(kafka, "").delete_topics()


async def test_a_reader_of_nothing_yet_comes_and_goes(kafka: str, topic_prefix: str) -> None:
    async with bus(kafka, topic_prefix).reader([]) as reader:
        assert reader.raw.assignment() == set()


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
