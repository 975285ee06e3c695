"""Publishes in batches: the records that are queued for a partition while its last batch is sent form the next batch.

Most records of a replay have a few dozen bytes, for which a `send` each would cost more than the rest.
"""

import asyncio
from collections.abc import Callable

from eddy.errors import FatalError
from eddy.kafka.bus import Bus, KafkaError, Producer

OnOffset = Callable[[int, int], None]


class Outbox:
    """Publishes to some topics until cancelled; `put` never waits."""

    def __init__(self, bus: Bus, producer: Producer, topics: tuple[str, ...]) -> None:
        self._partitions = {
            (topic, number): _PartitionOutbox(producer, topic, number)
            for topic in topics
            for number in range(bus.partitions)
        }

    def put(
        self,
        topic: str,
        partition: int,
        key: bytes,
        value: bytes,
        on_offset: OnOffset | None = None,
        token: int = 0,
    ) -> None:
        """Queue a record; `on_offset(token, offset)` is called when all in-sync replicas have it."""
        self._partitions[topic, partition].put(key, value, on_offset, token)

    @property
    def empty(self) -> bool:
        """Whether all queued records are acknowledged."""
        return all(partition_outbox.idle for partition_outbox in self._partitions.values())

    async def run(self) -> None:
        """Publish until cancelled. Raises FatalError if the broker rejects a batch."""
        async with asyncio.TaskGroup() as tasks:
            for partition_outbox in self._partitions.values():
                tasks.create_task(partition_outbox.run())


class _PartitionOutbox:
    """The queue of a partition. One batch is sent at a time, so that offsets are in the order of `put`."""

    def __init__(self, producer: Producer, topic: str, partition: int) -> None:
        self._producer = producer
        self._topic = topic
        self._partition = partition
        self._waiting: list[tuple[bytes, bytes, OnOffset | None, int]] = []
        self._wake = asyncio.Event()
        self._sending = False

    @property
    def idle(self) -> bool:
        return not self._waiting and not self._sending

    def put(self, key: bytes, value: bytes, on_offset: OnOffset | None, token: int) -> None:
        self._waiting.append((key, value, on_offset, token))
        self._wake.set()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._publish()

    async def _publish(self) -> None:
        self._sending = True
        records = [(key, value) for key, value, _, _ in self._waiting]
        try:
            batch = await self._producer.send_batch(self._topic, self._partition, records)
            sent, self._waiting = self._waiting[: batch.count], self._waiting[batch.count :]
            first = await batch.first_offset()
        except KafkaError as error:
            raise FatalError(
                f"Kafka did not accept records for {self._topic}: {error}. Check that the broker runs."
            ) from error
        self._sending = False
        for number, (_, _, on_offset, token) in enumerate(sent):
            if on_offset is not None:
                on_offset(token, first + number)
