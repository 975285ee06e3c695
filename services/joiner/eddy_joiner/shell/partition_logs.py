"""The logs of one partition that a worker reads, and their ends."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from eddy.contract.message import Message, TopicPartition
from eddy.contract.topics import RECOMMENDATIONS, TRAINING_EXAMPLES, USER_EVENTS
from eddy.kafka.bus import Bus, Reader

# A long wait at the broker costs no latency: it ends when records arrive, and end offsets are requested on another connection.
FETCH_WAIT_MS = 500
_CATCH_UP_RECORDS = 2000


class PartitionLog:
    """One partition of a topic, read without a consumer group from any offset. `probe` is the reader for end offsets."""

    def __init__(self, reader: Reader, probe: Reader, partition: TopicPartition) -> None:
        self._reader = reader
        self._probe = probe
        self.partition = partition

    def seek(self, offset: int) -> None:
        self._reader.seek(self.partition, offset)

    async def position(self) -> int:
        """Offset of the next record to read."""
        return await self._reader.position(self.partition)

    async def end(self) -> int:
        """Offset after the last record."""
        return (await self._probe.end_offsets([self.partition]))[self.partition]

    async def batch(self, timeout_ms: int, max_records: int) -> list[Message]:
        return await self._reader.batch(timeout_ms, max_records)

    async def until(self, end: int) -> AsyncIterator[list[Message]]:
        """Batches until the position reaches `end`; the last one may go beyond it. Transaction markers are offsets without records."""
        while await self.position() < end:
            batch = await self._reader.batch(200, _CATCH_UP_RECORDS)
            if batch:
                yield batch


class PartitionLogs:
    """user-events and recommendations of one partition."""

    def __init__(self, events: PartitionLog, slates: PartitionLog) -> None:
        self.events = events
        self.slates = slates

    @staticmethod
    @asynccontextmanager
    async def open(bus: Bus, probe: Reader, partition: int) -> "AsyncIterator[PartitionLogs]":
        """Open readers of both topics; `probe` is used for end offsets only."""
        async with AsyncExitStack() as stack:
            logs = []
            for topic in (USER_EVENTS, RECOMMENDATIONS):
                partitions = bus.topic_partitions(topic, [partition])
                reader = await stack.enter_async_context(bus.reader(partitions, fetch_max_wait_ms=FETCH_WAIT_MS))
                logs.append(PartitionLog(reader, probe, partitions[0]))
            yield PartitionLogs(*logs)


@asynccontextmanager
async def open_output(bus: Bus, probe: Reader, partition: int) -> AsyncIterator[PartitionLog]:
    """Open a reader of the worker's own output."""
    partitions = bus.topic_partitions(TRAINING_EXAMPLES, [partition])
    async with bus.reader(partitions) as reader:
        yield PartitionLog(reader, probe, partitions[0])
