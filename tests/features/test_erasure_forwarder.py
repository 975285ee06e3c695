"""The forwarder of erasures on a real Kafka: no tombstone is written twice, and that of an item follows the signals of earlier events."""

from collections.abc import AsyncIterator

import pytest

from eddy.clock import SystemClock
from eddy.contract.codec import Codec
from eddy.contract.erasure import ITEM, USER, Kind
from eddy.contract.message import Message
from eddy.contract.poison import PoisonRuns
from eddy.contract.topics import ERASURES, ITEM_SIGNALS, ITEMS, USER_EVENTS
from eddy.kafka.bus import Bus, Producer
from eddy.kafka.dead_letters import DeadLetters
from eddy.settings import Settings
from eddy_features.shell import erasure_forwarder
from eddy_features.shell.erasure_forwarder import ErasureForwarder
from tests.features.factories import encoded, event
from tests.service import read_all

pytestmark = pytest.mark.broker


@pytest.fixture
async def bus(kafka: str, topic_prefix: str) -> Bus:
    bus = Bus(Settings(kafka_bootstrap_servers=kafka, topic_prefix=topic_prefix, topic_partitions=2))
    await bus.create_topics()
    return bus


@pytest.fixture
async def producer(bus: Bus) -> AsyncIterator[Producer]:
    async with bus.producer() as producer:
        yield producer


def a_forwarder(bus: Bus, producer: Producer) -> ErasureForwarder:
    return ErasureForwarder(
        bus, producer, DeadLetters("features", bus, producer, SystemClock(), PoisonRuns(1000)), None, 10.0
    )


async def order(bus: Bus, producer: Producer, name: str, kind: Kind) -> list[Message]:
    """Order an erasure; returns all orders."""
    record = {"id": name, "kind": kind, "requested_at": 1, "erased_offset": None}
    await producer.send_all(ERASURES, [(name, Codec.for_topic(ERASURES).encode(record))])
    return await read_all(bus, ERASURES)


async def commit(bus: Bus, offsets: dict[int, int]) -> None:
    """As the workers do that turn events into signals."""
    async with bus.member(USER_EVENTS, "features") as member:
        while not member.assignment():
            await member.batch(100)
        partitions = bus.topic_partitions(USER_EVENTS, offsets)
        await member.commit({each: offsets[each.partition] for each in partitions})


@pytest.mark.parametrize(("kind", "topic"), [(USER, USER_EVENTS), (ITEM, ITEMS)])
async def test_an_order_that_is_read_again_after_a_crash_erases_nothing_more(
    bus: Bus, producer: Producer, kind: Kind, topic: str
) -> None:
    orders = await order(bus, producer, "u1", kind)
    await a_forwarder(bus, producer).forward(orders)
    await producer.send_all(topic, [("u1", encoded(event(1))[1])])  # a new user, or the item again
    await a_forwarder(bus, producer).forward(orders)  # killed before its commit
    again = await order(bus, producer, "u1", kind)
    restarted = a_forwarder(bus, producer)
    await restarted.forward(again[:1])
    assert [each.tombstone for each in await read_all(bus, topic)] == [True, False]
    await restarted.forward(again[1:])  # another order is another erasure
    assert [each.tombstone for each in await read_all(bus, topic)] == [True, False, True]


async def test_the_tombstone_of_an_item_follows_the_signals_of_earlier_events(
    bus: Bus, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await producer.send_all(USER_EVENTS, [("u1", encoded(event(number))[1]) for number in (1, 2)])
    await producer.send_all(ITEMS, [("m1", None)])
    forwarder = a_forwarder(bus, producer)
    await forwarder.forward(await read_all(bus, ITEMS))
    partition = bus.partition_of("u1")
    for processed in (0, 1):
        await commit(bus, {partition: processed})
        await forwarder.forward_waiting()
        assert await read_all(bus, ITEM_SIGNALS) == []
        monkeypatch.setattr(erasure_forwarder, "SEARCH_SEC", 0.0)  # it finds the second event
    await commit(bus, {partition: 2})
    await forwarder.forward_waiting()
    assert [(each.key, each.tombstone) for each in await read_all(bus, ITEM_SIGNALS)] == [(b"m1", True)]
    await forwarder.forward_waiting()
    assert len(await read_all(bus, ITEM_SIGNALS)) == 1


async def test_an_item_does_not_wait_for_the_marker_of_a_transaction(
    bus: Bus, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bus.transactional_producer("publisher") as publisher:
        await publisher.begin()
        await (await publisher.send(USER_EVENTS, "u1", encoded(event(1))[1]))
        await publisher.commit()
    await commit(bus, {bus.partition_of("u1"): 1})
    await producer.send_all(ITEMS, [("m1", None)])
    forwarder = a_forwarder(bus, producer)
    await forwarder.forward(await read_all(bus, ITEMS))
    monkeypatch.setattr(erasure_forwarder, "SEARCH_SEC", 0.0)
    await forwarder.forward_waiting()
    assert len(await read_all(bus, ITEM_SIGNALS)) == 1
