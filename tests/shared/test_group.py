"""Membership in a consumer group on a real broker: order of the calls to the work."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from eddy.contract.topics import USER_EVENTS
from eddy.errors import FatalError
from eddy.kafka.bus import Bus, KafkaError, Member
from eddy.kafka.group import GroupMember, Membership
from eddy.settings import Settings
from tests.poll import poll_until

ALL = {0, 1, 2, 3}


class Noting:
    """Work that notes what it hears, in order."""

    def __init__(self) -> None:
        self.held: set[int] = set()
        self.heard: list[tuple[str, frozenset[int]]] = []
        self.fails: Exception | None = None

    async def poll(self, member: Member) -> None:
        await member.poll_paused(50)
        if self.fails is not None:
            raise self.fails

    async def revoke(self, partitions: set[int]) -> None:
        self.heard.append(("release", frozenset(partitions)))

    async def assign(self, partitions: set[int]) -> None:
        self.heard.append(("hold", frozenset(partitions)))
        self.held = partitions


async def a_bus(kafka: str, topic_prefix: str) -> Bus:
    bus = Bus(Settings(kafka_bootstrap_servers=kafka, topic_prefix=topic_prefix, topic_partitions=len(ALL)))
    await bus.create_topics()
    return bus


def a_member(bus: Bus, work: Noting, instance_id: str | None = None) -> GroupMember:
    return GroupMember(bus, Membership(USER_EVENTS, "group", instance_id, "EDDY_TRIAL_INSTANCE_ID", 30.0), work)


@asynccontextmanager
async def taking_part(member: GroupMember) -> AsyncIterator["asyncio.Task[None]"]:
    running = asyncio.create_task(member.run())
    try:
        yield running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_partitions_are_assigned_shared_and_taken_over(kafka: str, topic_prefix: str) -> None:
    bus = await a_bus(kafka, topic_prefix)
    first, second = Noting(), Noting()
    async with taking_part(a_member(bus, first)):
        await poll_until(lambda: first.held == ALL, what="all for the first")
        async with taking_part(a_member(bus, second)):
            await poll_until(lambda: len(second.held) == len(first.held) == 2, what="two for each")
            assert first.held | second.held == ALL
            assert first.heard[-2] == ("release", frozenset(ALL))  # before others may have them
        await poll_until(lambda: first.held == ALL, what="all for the first again")
    for work in (first, second):
        (released, last), (held, none) = work.heard[-2:]
        assert (released, held, none) == ("release", "hold", frozenset())
        assert last


async def test_committed_offsets_are_those_of_the_group(kafka: str, topic_prefix: str) -> None:
    bus = await a_bus(kafka, topic_prefix)
    work = Noting()
    member = a_member(bus, work)
    assert not await member.commit({0: 3})
    async with taking_part(member):
        await poll_until(lambda: work.held == ALL, what="all partitions")
        assert await member.commit({0: 3, 2: 5})
    one, other = bus.topic_partitions(USER_EVENTS, [0, 2])
    assert await bus.committed("group", USER_EVENTS) == {one: 3, other: 5}


async def test_restarted_static_member_keeps_its_partitions(kafka: str, topic_prefix: str) -> None:
    bus = await a_bus(kafka, topic_prefix)
    first, second, restarted = Noting(), Noting(), Noting()
    async with taking_part(a_member(bus, second, "two")):
        async with taking_part(a_member(bus, first, "one")):
            await poll_until(lambda: len(second.held) == len(first.held) == 2, what="two for each")
            before = first.held
        others = second.held
        async with taking_part(a_member(bus, restarted, "one")):
            await poll_until(lambda: restarted.held == before, what="the same partitions")
            assert second.held == others


async def test_member_removed_from_the_group_joins_again(kafka: str, topic_prefix: str) -> None:
    work = Noting()
    async with taking_part(a_member(await a_bus(kafka, topic_prefix), work)):
        await poll_until(lambda: work.held == ALL, what="all partitions")
        work.fails, heard = KafkaError("dropped"), len(work.heard)
        await poll_until(lambda: len(work.heard) > heard, what="the release")
        work.fails = None
        await poll_until(lambda: ("hold", frozenset(ALL)) in work.heard[heard:], what="all partitions again")


async def test_duplicate_instance_id_is_fatal(kafka: str, topic_prefix: str) -> None:
    work = Noting()
    async with taking_part(a_member(await a_bus(kafka, topic_prefix), work, "one")) as running:
        await poll_until(lambda: work.held == ALL, what="all partitions")
        work.fails = KafkaError("[Error 82] FENCED_INSTANCE_ID")
        with pytest.raises(FatalError, match="runs as one: set EDDY_TRIAL_INSTANCE_ID"):
            await asyncio.wait_for(running, 30)
    assert work.held == set()


async def test_error_of_the_work_ends_the_member(kafka: str, topic_prefix: str) -> None:
    work = Noting()
    async with taking_part(a_member(await a_bus(kafka, topic_prefix), work)) as running:
        await poll_until(lambda: work.held == ALL, what="all partitions")
        work.fails = FatalError("mend this")
        with pytest.raises(FatalError, match="mend this"):
            await asyncio.wait_for(running, 30)
    assert work.heard[-2:] == [("release", frozenset(ALL)), ("hold", frozenset())]
