"""Erasures of users, as tombstones in `user-events`."""

from typing import NamedTuple

from eddy.contract.checks import PartitionOf
from eddy.contract.erasure import erased_id
from eddy.contract.message import Message
from eddy_joiner.core.slates import ServedSlate


class UserErasure(NamedTuple):
    """A user is forgotten up to `offset` of user-events; `appended_at` is the append time of the tombstone (ms)."""

    user_id: str
    offset: int
    appended_at: int

    def covers(self, slate: ServedSlate) -> bool:
        """Whether the slate is of the former user: appended before the erasure, or made from a history before it."""
        return slate.appended_at <= self.appended_at or 0 <= slate.applied_offset < self.offset


def read_erasure(message: Message, partition_of: PartitionOf | None) -> UserErasure:
    """Read a tombstone. Raises PoisonError for one without a usable key."""
    return UserErasure(erased_id(message, partition_of), message.offset, message.timestamp_ms)
