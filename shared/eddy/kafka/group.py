"""The life of a member of a consumer group: it joins, hears of rebalances, commits what is done, and joins again when it was dropped."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from eddy.errors import FatalError
from eddy.kafka.bus import Bus, KafkaError, Member
from eddy.kafka.permissions import PERMISSION_ERRORS, describe_denial

log = structlog.get_logger()

REJOIN_SEC = 1.0


@dataclass(frozen=True, slots=True)
class Membership:
    """A group on a topic, by short names.

    With an `instance_id`, which `instance_setting` sets, the member is static: restarted under it, it has its partitions back at once.
    Without one the group waits until the session of a member that died is over.
    """

    topic: str
    group: str
    instance_id: str | None
    instance_setting: str
    session_timeout_sec: float

    def options(self) -> dict[str, Any]:
        """As the client takes it."""
        session_ms = round(self.session_timeout_sec * 1000)
        return {
            "group_instance_id": self.instance_id,
            "session_timeout_ms": session_ms,
            "heartbeat_interval_ms": session_ms // 4,
        }


class PartitionWork(Protocol):
    """What a member does with its partitions. What is not committed is done again, by whoever has the partition then."""

    async def poll(self, member: Member) -> None:
        """Read, or take part in the group without reading (`member.look`); called again and again."""

    async def revoke(self, partitions: set[int]) -> None:
        """A rebalance begins, or membership ends: once this returns, another member may work on these. Nothing of them may be under
        way then that must not be done twice; what is done can be committed until then."""

    async def assign(self, partitions: set[int]) -> None:
        """A rebalance is over: these are ours, all others are not. Called between two turns; with nothing at the end."""


class GroupMember:
    """Does `work` for the partitions that the group assigns."""

    def __init__(self, bus: Bus, membership: Membership, work: PartitionWork) -> None:
        self._bus = bus
        self._membership = membership
        self._work = work
        self._member: Member | None = None
        self._held: set[int] = set()
        self._news = False

    async def run(self) -> None:
        """Take part until cancelled. Raises FatalError where another member runs under our instance id, and what the work raises."""
        try:
            while True:
                try:
                    await self._take_part()
                except PERMISSION_ERRORS as error:
                    raise FatalError(describe_denial(error)) from error
                except KafkaError as error:
                    if "FENCED" in repr(error).upper():
                        raise FatalError(self._fenced()) from error
                    log.warning("membership_lost", group=self._membership.group, error=repr(error))
                    await asyncio.sleep(REJOIN_SEC)
        finally:
            await self._work.assign(set())

    async def commit(self, offsets: Mapping[int, int]) -> bool:
        """Commit the next offsets of partitions; whether the group took them. While it rebalances it takes none."""
        if self._member is None:
            return False
        partitions = self._bus.topic_partitions(self._membership.topic, offsets)
        try:
            await self._member.commit(dict(zip(partitions, offsets.values(), strict=True)))
        except KafkaError as error:
            log.warning("commit_failed", group=self._membership.group, error=type(error).__name__)
            return False
        return True

    async def revoked(self, partitions: set[int]) -> None:
        """The client's call at the beginning of a rebalance."""
        await self._work.revoke(partitions)

    async def assigned(self, partitions: set[int]) -> None:
        """The client's call at its end. The client is not kept waiting: it sends no heartbeat meanwhile."""
        self._held, self._news = partitions, True

    async def _take_part(self) -> None:
        topic, group = self._membership.topic, self._membership.group
        async with self._bus.member(topic, group, self, **self._membership.options()) as member:
            self._member = member
            try:
                while True:
                    await self._work.poll(member)
                    if self._news:
                        self._news = False
                        log.info("partitions_assigned", group=group, partitions=sorted(self._held))
                        await self._work.assign(set(self._held))
            finally:
                await self._work.revoke(set(self._held))
                self._member = None

    def _fenced(self) -> str:
        membership = self._membership
        return (
            f"another member of the group {membership.group} runs as {membership.instance_id}: "
            f"set {membership.instance_setting} to another name for each"
        )
