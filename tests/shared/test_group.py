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


class RecordingWork:
    """Partition work that records its calls, in order."""

    def __init__(self) -> None:
        self.partitions: set[int] = set()
        self.calls: list[tuple[str, frozenset[int]]] = []
        self.fails: Exception | None = None

    async def poll(self, member: Member) -> None:
        await member.poll_paused(50)
        if self.fails is not None:
            raise self.fails

    async def revoke(self, partitions: set[int]) -> None:
        self.calls.append(("revoke", frozenset(partitions)))

    async def assign(self, partitions: set[int]) -> None:
        self.calls.append(("assign", frozenset(partitions)))
        self.partitions = partitions


async def a_bus(kafka: str, topic_prefix: str) -> Bus:
    bus = Bus(Settings(kafka_bootstrap_servers=kafka, topic_prefix=topic_prefix, topic_partitions=len(ALL)))
    await bus.create_topics()
    return bus


def a_member(bus: Bus, work: RecordingWork, instance_id: str | None = None) -> GroupMember:
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
    first, second = RecordingWork(), RecordingWork()
    async with taking_part(a_member(bus, first)):
        await poll_until(lambda: first.partitions == ALL, what="all for the first")
        async with taking_part(a_member(bus, second)):
            await poll_until(lambda: len(second.partitions) == len(first.partitions) == 2, what="two for each")
            assert first.partitions | second.partitions == ALL
            assert first.calls[-2] == ("revoke", frozenset(ALL))  # before others may have them
        await poll_until(lambda: first.partitions == ALL, what="all for the first again")
    for work in (first, second):
        (revoked, last), (assigned, none) = work.calls[-2:]
        assert (revoked, assigned, none) == ("revoke", "assign", frozenset())
        assert last


async def test_committed_offsets_are_those_of_the_group(kafka: str, topic_prefix: str) -> None:
    bus = await a_bus(kafka, topic_prefix)
    work = RecordingWork()
    member = a_member(bus, work)
    assert not await member.commit({0: 3})
    async with taking_part(member):
        await poll_until(lambda: work.partitions == ALL, what="all partitions")
        assert await member.commit({0: 3, 2: 5})
    one, other = bus.topic_partitions(USER_EVENTS, [0, 2])
    assert await bus.committed("group", USER_EVENTS) == {one: 3, other: 5}


async def test_restarted_static_member_keeps_its_partitions(kafka: str, topic_prefix: str) -> None:
    bus = await a_bus(kafka, topic_prefix)
    first, second, restarted = RecordingWork(), RecordingWork(), RecordingWork()
    async with taking_part(a_member(bus, second, "two")):
        async with taking_part(a_member(bus, first, "one")):
            await poll_until(lambda: len(second.partitions) == len(first.partitions) == 2, what="two for each")
            before = first.partitions
        others = second.partitions
        async with taking_part(a_member(bus, restarted, "one")):
            await poll_until(lambda: restarted.partitions == before, what="the same partitions")
            assert second.partitions == others


async def test_member_removed_from_the_group_joins_again(kafka: str, topic_prefix: str) -> None:
    work = RecordingWork()
    async with taking_part(a_member(await a_bus(kafka, topic_prefix), work)):
        await poll_until(lambda: work.partitions == ALL, what="all partitions")
        work.fails, calls_before = KafkaError("dropped"), len(work.calls)
        await poll_until(lambda: len(work.calls) > calls_before, what="the revocation")
        work.fails = None
        await poll_until(lambda: ("assign", frozenset(ALL)) in work.calls[calls_before:], what="all partitions again")


async def test_duplicate_instance_id_is_fatal(kafka: str, topic_prefix: str) -> None:
    work = RecordingWork()
    async with taking_part(a_member(await a_bus(kafka, topic_prefix), work, "one")) as running:
        await poll_until(lambda: work.partitions == ALL, what="all partitions")
        work.fails = KafkaError("[Error 82] FENCED_INSTANCE_ID")
        with pytest.raises(FatalError, match="runs as one: give each member its own EDDY_TRIAL_INSTANCE_ID"):
            await asyncio.wait_for(running, 30)
    assert work.partitions == set()


async def test_error_of_the_work_ends_the_member(kafka: str, topic_prefix: str) -> None:
    work = RecordingWork()
    async with taking_part(a_member(await a_bus(kafka, topic_prefix), work)) as running:
        await poll_until(lambda: work.partitions == ALL, what="all partitions")
        work.fails = FatalError("mend this")
        with pytest.raises(FatalError, match="mend this"):
            await asyncio.wait_for(running, 30)
    assert work.calls[-2:] == [("revoke", frozenset(ALL)), ("assign", frozenset())]
