"""A member of a consumer group: which partitions are ours, and how far they are done."""

from collections.abc import Mapping
from typing import Any, Protocol

from aiokafka import ConsumerRebalanceListener

from eddy.contract.message import TopicPartition
from eddy.kafka.partitions import raw
from eddy.kafka.reader import Reader


class Listener(Protocol):
    """Hears of each rebalance, between two batches at the earliest."""

    async def revoked(self, partitions: set[int]) -> None:
        """These may be another member's once this returns: finish and commit what is theirs. Reading goes on meanwhile."""

    async def assigned(self, partitions: set[int]) -> None:
        """All that are ours from now on."""


class Member(Reader):
    """Reads what its group assigns to it."""

    def subscribe(self, topic: str, listener: Listener | None) -> None:
        """Join the group for a topic (full name)."""
        self._client.subscribe([topic], listener=listener and _Rebalances(listener))

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit next offsets. Raises KafkaError where a rebalance is under way."""
        await self._client.commit({raw(partition): offset for partition, offset in offsets.items()})

    async def poll_paused(self, timeout_ms: int) -> frozenset[TopicPartition]:
        """Take part in the group without reading; the partitions that are ours."""
        self._client.pause(*self._client.assignment())
        await self._client.getmany(timeout_ms=timeout_ms)
        return self.assignment()


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    async def on_partitions_revoked(self, revoked: Any) -> None:
        await self._listener.revoked({partition.partition for partition in revoked})

    async def on_partitions_assigned(self, assigned: Any) -> None:
        await self._listener.assigned({partition.partition for partition in assigned})
