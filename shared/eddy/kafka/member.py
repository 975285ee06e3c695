"""A reader that is a member of a consumer group."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from aiokafka import ConsumerRebalanceListener

from eddy.contract.message import TopicPartition
from eddy.kafka.partitions import raw
from eddy.kafka.reader import Reader


class Listener(Protocol):
    """Receives the rebalances of a member, between two batches at the earliest."""

    async def revoked(self, partitions: set[int]) -> None:
        """Finish and commit the work on these partitions: another member may own them when this returns. Reading continues."""

    async def assigned(self, partitions: set[int]) -> None:
        """`partitions` are all partitions that the member owns from now on."""


class Member(Reader):
    """Reads the partitions that its group assigns."""

    def subscribe(self, topics: Sequence[str], listener: Listener | None) -> None:
        """Join the group for topics (full names)."""
        self._client.subscribe(topics, listener=listener and _Rebalances(listener))

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit next offsets. Raises KafkaError during a rebalance."""
        await self._client.commit({raw(partition): offset for partition, offset in offsets.items()})

    async def poll_paused(self, timeout_ms: int) -> frozenset[TopicPartition]:
        """Stay in the group without reading; returns the assigned partitions."""
        self._client.pause(*self._client.assignment())
        await self._fetch(timeout_ms=timeout_ms)
        return self.assignment()


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    async def on_partitions_revoked(self, revoked: Any) -> None:
        await self._listener.revoked({partition.partition for partition in revoked})

    async def on_partitions_assigned(self, assigned: Any) -> None:
        await self._listener.assigned({partition.partition for partition in assigned})
