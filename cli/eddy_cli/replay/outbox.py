"""Publishing in batches: what gathers for a partition while its last batch is under way goes out as the next one.

A `send` per record costs aiokafka a future, a lock and a wake-up each; at two thirds of the replay's records being two lines of
a few dozen bytes, that is most of their price.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from eddy.errors import FatalError
from eddy.kafka.bus import Bus, KafkaError, Producer

OnOffset = Callable[[int, int], None]


class Outbox:
    """Publishes to some topics until cancelled; `put` never waits."""

    def __init__(self, bus: Bus, producer: Producer, topics: tuple[str, ...]) -> None:
        self._lanes = {
            (topic, number): _Lane(producer.raw, bus, topic, number)
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

    def __init__(self, producer: Any, bus: Bus, topic: str, partition: int) -> None:
        self._producer = producer
        self._framing = bus.framing
        self._topic, self._full_topic = topic, bus.full_name(topic)
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
        batch = self._producer.create_batch()
        taken = 0
        for key, value, _, _ in list(self._waiting):
            written = await self._framing.written(self._topic, self._full_topic, value)
            if batch.append(timestamp=None, key=key, value=written) is None:
                break
            taken += 1
        batch.close()
        sent, self._waiting = self._waiting[:taken], self._waiting[taken:]
        self._under_way = True
        try:
            future = await self._producer.send_batch(batch, self._full_topic, partition=self._partition)
            first = (await future).offset
        except KafkaError as error:
            raise FatalError(
                f"Kafka did not take records for {self._topic}: {error}; is the broker still there?"
            ) from error
        self._under_way = False
        for number, (_, _, on_offset, token) in enumerate(sent):
            if on_offset is not None:
                on_offset(token, first + number)
