"""Follows user-features of the partitions that the group assigns to this instance."""

import asyncio
from collections.abc import Callable

import structlog

from eddy_scorer.core.state.users import UserStore
from eddy_scorer.shell.follower import Follower

log = structlog.get_logger()


class UserPartitions:
    """Follows user-features of the assigned partitions, and calls `on_loaded(partition)` when one was read to its end.

    A partition that stays assigned keeps its users and its position. Users of a revoked partition are dropped.
    """

    def __init__(self, follower: Follower, users: UserStore, on_loaded: Callable[[int], None]) -> None:
        self._follower = follower
        self._users = users
        self._on_loaded = on_loaded
        self._assigned: set[int] = set()
        self._changed = asyncio.Event()
        # Revoked since the current follower started: it may still apply records of these for some turns.
        self._revoked: set[int] = set()
        self.loaded: set[int] = set()

    @property
    def all_loaded(self) -> bool:
        return self.loaded == self._assigned

    @property
    def assigned(self) -> set[int]:
        return self._assigned

    def assign(self, partitions: set[int]) -> set[int]:
        """Set the assigned partitions. Returns the revoked ones."""
        revoked = self._assigned - partitions
        if revoked:
            self._revoked |= revoked
            self._forget(revoked)
        if partitions != self._assigned:
            self._assigned = set(partitions)
            self._changed.set()
        return revoked

    async def run(self) -> None:
        """Follow until cancelled, and restart after each change of the assignment."""
        while True:
            self._changed.clear()
            following = asyncio.create_task(self._follow())
            changed = asyncio.create_task(self._changed.wait())
            try:
                await asyncio.wait({following, changed}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
                following.cancel()
                result = (await asyncio.gather(following, return_exceptions=True))[0]
            if isinstance(result, Exception):
                raise result

    def _forget(self, partitions: set[int]) -> None:
        self._users.drop_partitions(partitions.__contains__)
        self._follower.forget(partitions)
        self.loaded -= partitions

    async def _follow(self) -> None:
        self._forget(self._revoked)
        self._revoked = set()
        partitions = set(self._assigned)
        if not partitions:
            await asyncio.Event().wait()
        await self._follower.follow(partitions, lambda: self._at_end(partitions))

    def _at_end(self, partitions: set[int]) -> None:
        for partition in sorted((partitions & self._assigned) - self.loaded - self._revoked):
            self.loaded.add(partition)
            self._on_loaded(partition)
        log.info("users_loaded", partitions=sorted(partitions), users=len(self._users))
