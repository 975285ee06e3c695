"""A member of a consumer group: joins, handles rebalances, commits, and joins again after it was removed."""

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

    With an `instance_id`, set by the setting `instance_setting`, the member is static: restarted with the same id, it gets its partitions
    back at once. Without one, the partitions of a killed member are reassigned after its session timed out.
    """

    topic: str
    group: str
    instance_id: str | None
    instance_setting: str
    session_timeout_sec: float

    def options(self) -> dict[str, Any]:
        """Options of the client."""
        session_ms = round(self.session_timeout_sec * 1000)
        return {
            "group_instance_id": self.instance_id,
            "session_timeout_ms": session_ms,
            "heartbeat_interval_ms": session_ms // 4,
        }


class PartitionWork(Protocol):
    """The work of a member on its partitions. Work that is not committed is repeated by the next owner of the partition."""

    async def poll(self, member: Member) -> None:
        """Read, or stay in the group without reading (`member.poll_paused`). Called in a loop."""

    async def revoke(self, partitions: set[int]) -> None:
        """Give up partitions: a rebalance begins, or membership ends. When this returns, other members may work on them.

        Finish or drop all work on them that must not happen twice. Finished work can be committed until this returns.
        """

    async def assign(self, partitions: set[int]) -> None:
        """Own exactly these partitions after a rebalance. Called between two polls, and with an empty set at the end."""


class GroupMember:
    """Runs `work` on the partitions that the group assigns."""

    def __init__(self, bus: Bus, membership: Membership, work: PartitionWork) -> None:
        self._bus = bus
        self._membership = membership
        self._work = work
        self._member: Member | None = None
        self._assigned: set[int] = set()
        self._reassigned = False

    async def run(self) -> None:
        """Run until cancelled. Raises FatalError if another member uses the same instance id, and any error of the work."""
        try:
            while True:
                try:
                    await self._run_member()
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
        """Commit the next offsets of partitions; whether that succeeded. It fails during a rebalance."""
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
        """Called by the client at the beginning of a rebalance."""
        await self._work.revoke(partitions)

    async def assigned(self, partitions: set[int]) -> None:
        """Called by the client at the end of a rebalance. Returns at once, as the client sends no heartbeats meanwhile."""
        self._assigned, self._reassigned = partitions, True

    async def _run_member(self) -> None:
        topic, group = self._membership.topic, self._membership.group
        async with self._bus.member(topic, group, self, **self._membership.options()) as member:
            self._member = member
            try:
                while True:
                    await self._work.poll(member)
                    if self._reassigned:
                        self._reassigned = False
                        log.info("partitions_assigned", group=group, partitions=sorted(self._assigned))
                        await self._work.assign(set(self._assigned))
            finally:
                await self._work.revoke(set(self._assigned))
                self._member = None

    def _fenced(self) -> str:
        membership = self._membership
        return (
            f"another member of the group {membership.group} runs as {membership.instance_id}: "
            f"give each member its own {membership.instance_setting}"
        )
