"""Writes records to topics, one by one or in whole batches, within a transaction or without."""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from eddy.contract.message import TopicPartition
from eddy.kafka.framing import Framing
from eddy.kafka.partitions import raw

T = TypeVar("T")

ABORT_TIMEOUT_SEC = 5.0


@dataclass(frozen=True, slots=True)
class SentBatch:
    """`count` records that go out as one batch; `acknowledged` gives metadata whose `offset` is that of the first."""

    count: int
    acknowledged: "asyncio.Future[Any]"

    async def first_offset(self) -> int:
        """Wait until all in-sync replicas have the batch. Raises KafkaError when it is refused."""
        return int((await self.acknowledged).offset)

    async def last_offset(self) -> int:
        """As `first_offset`, of the last record."""
        return await self.first_offset() + self.count - 1


class Producer:
    """Writes records, by short topic name, to the partition that the key's murmur2 hash says."""

    def __init__(self, client: AIOKafkaProducer, framing: Framing, prefix: str) -> None:
        self._client = client
        self._framing = framing
        self._prefix = prefix

    async def send(
        self, topic: str, key: str | bytes | None, value: bytes | None, partition: int | None = None
    ) -> "asyncio.Future[Any]":
        """Queue a record; the future ends with its metadata (partition, offset) once all in-sync replicas have it."""
        encoded = key.encode() if isinstance(key, str) else key
        full = self._prefix + topic
        written = await self._framing.frame(topic, full, value)
        future: asyncio.Future[Any] = await self._client.send(full, value=written, key=encoded, partition=partition)
        return future

    async def send_all(self, topic: str, records: Iterable[tuple[str, bytes]]) -> None:
        """Write records and wait until every one of them is acknowledged; raises the first failure."""
        await settle([await self.send(topic, key, value) for key, value in records])

    async def send_batch(self, topic: str, partition: int, records: Iterable[tuple[bytes | None, bytes]]) -> SentBatch:
        """Queue as many of the records, from the first on, as one batch holds: at least one, where there is one.

        A `send` for each record costs a future, a lock and a wake-up each.
        """
        full = self._prefix + topic
        batch = self._client.create_batch()
        for key, value in records:
            written = await self._framing.frame(topic, full, value)
            if batch.append(key=key, value=written, timestamp=None) is None:
                break
        batch.close()
        return SentBatch(batch.record_count(), await self._client.send_batch(batch, full, partition=partition))

    async def write(self, topic: str, partition: int, records: Sequence[tuple[bytes | None, bytes]]) -> int:
        """Write records, at least one, in order; the offset of the last, once all are acknowledged."""
        sent: list[SentBatch] = []
        taken = 0
        while taken < len(records):
            sent.append(await self.send_batch(topic, partition, records[taken:]))
            taken += sent[-1].count
        return (await settle([batch.last_offset() for batch in sent]))[-1]

    async def flush(self) -> None:
        """Wait until everything that was queued is acknowledged or has failed."""
        await self._client.flush()


class TransactionalProducer(Producer):
    """Writes in transactions. After any error it and the state behind it must be discarded, `abort` first."""

    async def begin(self) -> None:
        """Begin a transaction: what is sent from now on belongs to it."""
        await self._client.begin_transaction()

    async def send_offsets(self, positions: Mapping[TopicPartition, tuple[int, str]], group: str) -> None:
        """Commit next offsets and their metadata for a group (full name) with the transaction."""
        await self._client.send_offsets_to_transaction(
            {raw(partition): position for partition, position in positions.items()}, group
        )

    async def commit(self) -> None:
        """Make it all visible. aiokafka commits without a batch that failed: await every future that `send` gave before."""
        await self._client.commit_transaction()

    async def abort(self) -> None:
        """Take back what is begun, if the producer still can; the next one with its id does otherwise."""
        with suppress(KafkaError, AssertionError, TimeoutError):
            await asyncio.wait_for(self._client.abort_transaction(), ABORT_TIMEOUT_SEC)


async def settle(futures: Iterable[Awaitable[T]]) -> list[T]:
    """Await all, then raise the first failure, if any: none is left unobserved."""
    values: list[T] = []
    for result in await asyncio.gather(*futures, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
        values.append(result)
    return values
