"""Publishing in batches: what gathers for a partition while its last batch is under way goes out as the next one.

Two thirds of the replay's records are two lines of a few dozen bytes: most of the price of such a record would be that of its `send`.
"""

import asyncio
from collections.abc import Callable

from eddy.errors import FatalError
from eddy.kafka.bus import Bus, KafkaError, Producer

OnOffset = Callable[[int, int], None]


class Outbox:
    """Publishes to some topics until cancelled; `put` never waits."""

    def __init__(self, bus: Bus, producer: Producer, topics: tuple[str, ...]) -> None:
        self._lanes = {
            (topic, number): _Lane(producer, topic, number) for topic in topics for number in range(bus.partitions)
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
        """Queue a record; `on_offset(token, offset)` is called once it is acknowledged by all replicas."""
        self._lanes[topic, partition].put(key, value, on_offset, token)

    @property
    def empty(self) -> bool:
        """Whether everything put has been acknowledged."""
        return all(lane.idle for lane in self._lanes.values())

    async def run(self) -> None:
        """Publish until cancelled. Raises FatalError when the broker does not take a batch."""
        async with asyncio.TaskGroup() as tasks:
            for lane in self._lanes.values():
                tasks.create_task(lane.run())


class _Lane:
    """One partition: one batch under way at a time, so that offsets follow the order of `put`."""

    def __init__(self, producer: Producer, topic: str, partition: int) -> None:
        self._producer = producer
        self._topic = topic
        self._partition = partition
        self._waiting: list[tuple[bytes, bytes, OnOffset | None, int]] = []
        self._wake = asyncio.Event()
        self._under_way = False

    @property
    def idle(self) -> bool:
        return not self._waiting and not self._under_way

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
        self._under_way = True
        records = [(key, value) for key, value, _, _ in self._waiting]
        try:
            batch = await self._producer.send_batch(self._topic, self._partition, records)
            taken, self._waiting = self._waiting[: batch.count], self._waiting[batch.count :]
            first = await batch.first_offset()
        except KafkaError as error:
            raise FatalError(
                f"Kafka did not accept records for {self._topic}: {error}. Check that the broker runs."
            ) from error
        self._under_way = False
        for number, (_, _, on_offset, token) in enumerate(taken):
            if on_offset is not None:
                on_offset(token, first + number)
