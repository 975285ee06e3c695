"""Users of the partitions that the group assigns and revokes."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from eddy_scorer.core.state.catalogue import Catalogue
from eddy_scorer.core.state.users import UserStore
from eddy_scorer.shell.follower import Follower
from eddy_scorer.shell.user_partitions import UserPartitions
from tests.poll import poll_until
from tests.scorer.factories import scenarios, user_features

USERS = 40


class _SlowToStop:
    """A follower that, when cancelled, applies one more record of each partition, as in the middle of a batch."""

    def __init__(self, users: UserStore) -> None:
        self._users = users
        self.positions: dict[int, int] = {}

    async def follow(self, partitions: set[int], at_end: Callable[[], None]) -> None:
        try:
            while True:
                for partition in partitions:
                    self._one(partition)
                if all(self.positions[partition] == USERS for partition in partitions):
                    at_end()
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            for partition in partitions:
                self._one(partition)
            raise

    def forget(self, partitions: set[int]) -> None:
        for partition in partitions:
            self.positions.pop(partition, None)

    def _one(self, partition: int) -> None:
        at = self.positions.get(partition, 0)
        if at < USERS:
            self._users.apply(user_features(f"u{partition}-{at}", ["a"]), partition)
            self.positions[partition] = at + 1


async def test_partition_revoked_and_assigned_again_while_read_is_read_from_the_beginning() -> None:
    users, loaded = UserStore(Catalogue(scenarios()), scenarios()), []
    follower: Any = _SlowToStop(users)
    own = UserPartitions(cast(Follower, follower), users, loaded.append)
    running = asyncio.create_task(own.run())
    own.assign({0, 1})
    await poll_until(lambda: follower.positions.get(1, 0) > 5)
    own.assign({0})
    own.assign({0, 1})
    await poll_until(lambda: own.all_loaded and own.loaded == {0, 1})
    assert len(users) == 2 * USERS
    own.assign({0})
    await poll_until(lambda: 1 not in follower.positions)
    await asyncio.sleep(0.05)
    assert len(users) == USERS
    assert own.loaded == {0}
    running.cancel()
    await asyncio.wait([running])
