"""The two logs of a partition that a worker reads, and the end of both."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from eddy.contract.message import Message, TopicPartition
from eddy.contract.topics import RECOMMENDATIONS, TRAINING_EXAMPLES, USER_EVENTS
from eddy.kafka.bus import Bus, Reader

# A fetch may wait at the broker as long as it likes: it is answered when something comes, and ends are asked on another connection.
FETCH_WAIT_MS = 500
_CATCH_UP_RECORDS = 2000


class Log:
    """One partition of a topic, read without a group from wherever it is told to."""

    def __init__(self, reader: Reader, probe: Reader, partition: TopicPartition) -> None:
        self._reader = reader
        self._probe = probe
        self.partition = partition

    def seek(self, offset: int) -> None:
        self._reader.seek(self.partition, offset)

    async def position(self) -> int:
        """Offset of the next record to be read."""
        return await self._reader.position(self.partition)

    async def end(self) -> int:
        """Offset behind the last record."""
        return (await self._probe.end_offsets([self.partition]))[self.partition]

    async def batch(self, timeout_ms: int, max_records: int) -> list[Message]:
        return await self._reader.batch(timeout_ms, max_records)

    async def until(self, end: int) -> AsyncIterator[list[Message]]:
        """Batches up to `end` (and what comes with the last of them); records that are there or markers that stand for none."""
        while await self.position() < end:
            batch = await self._reader.batch(200, _CATCH_UP_RECORDS)
            if batch:
                yield batch


class Logs:
    """user-events and recommendations of one partition."""

    def __init__(self, events: Log, slates: Log) -> None:
        self.events = events
        self.slates = slates

    @staticmethod
    @asynccontextmanager
    async def open(bus: Bus, probe: Reader, partition: int) -> "AsyncIterator[Logs]":
        """Readers of both topics; `probe` reads nothing and is only asked for ends."""
        async with AsyncExitStack() as stack:
            logs = []
            for topic in (USER_EVENTS, RECOMMENDATIONS):
                place = bus.topic_partitions(topic, [partition])
                reader = await stack.enter_async_context(bus.reader(place, fetch_max_wait_ms=FETCH_WAIT_MS))
                logs.append(Log(reader, probe, place[0]))
            yield Logs(*logs)


@asynccontextmanager
async def own_output(bus: Bus, probe: Reader, partition: int) -> AsyncIterator[Log]:
    """The worker's own output."""
    place = bus.topic_partitions(TRAINING_EXAMPLES, [partition])
    async with bus.reader(place) as reader:
        yield Log(reader, probe, place[0])
