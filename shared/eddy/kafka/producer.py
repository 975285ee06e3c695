"""Writes records to topics, one by one or in batches, with or without transactions."""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidProducerEpoch, KafkaError, ProducerFenced

from eddy.contract.erasure import BY_EDDY, OF_SCENARIOS, encode_scenarios
from eddy.contract.message import TopicPartition
from eddy.kafka.framing import Framing
from eddy.kafka.partitions import partition_of, raw

T = TypeVar("T")

ABORT_TIMEOUT_SEC = 5.0
# Another producer with the same transactional id was started.
FENCED_ERRORS = (ProducerFenced, InvalidProducerEpoch)
# Key and value; no value is a tombstone, which deletes the key.
Record = tuple[bytes | None, bytes | None]


@dataclass(frozen=True, slots=True)
class SentBatch:
    """A batch of `count` records; `acknowledged` gives metadata whose `offset` is that of the first record."""

    count: int
    acknowledged: "asyncio.Future[Any]"

    async def first_offset(self) -> int:
        """Wait until all in-sync replicas have the batch. Raises KafkaError if the broker rejects it."""
        return int((await self.acknowledged).offset)

    async def last_offset(self) -> int:
        """As `first_offset`, for the last record."""
        return await self.first_offset() + self.count - 1


class Producer:
    """Writes records, by short topic name, to the partition of the key's murmur2 hash among `partitions`.

    The number is that of the settings: partitions that are added to a running topic have no reader.
    """

    def __init__(self, client: AIOKafkaProducer, framing: Framing, prefix: str, partitions: int) -> None:
        self._partitions = partitions
        self._client = client
        self._framing = framing
        self._prefix = prefix

    async def send(
        self,
        topic: str,
        key: str | bytes | None,
        value: bytes | None,
        partition: int | None = None,
        cause: str = "",
        scenarios: Sequence[str] | None = None,
    ) -> "asyncio.Future[Any]":
        """Queue a record; the future ends with its metadata (partition, offset) once all in-sync replicas have it.

        `cause` is that of a tombstone (eddy.contract.erasure.cause_of), `scenarios` are those of the item that it deletes, if known.
        """
        encoded = key.encode() if isinstance(key, str) else key
        full = self._prefix + topic
        framed = await self._framing.frame(topic, full, value)
        if partition is None and encoded is not None:
            partition = partition_of(encoded, self._partitions)
        future: asyncio.Future[Any] = await self._client.send(
            full, value=framed, key=encoded, partition=partition, headers=_headers(framed, cause, scenarios)
        )
        return future

    async def send_all(self, topic: str, records: Iterable[tuple[str, bytes | None]]) -> None:
        """Write records and wait until all are acknowledged; raises the first failure."""
        await settle([await self.send(topic, key, value) for key, value in records])

    async def send_batch(self, topic: str, partition: int, records: Iterable[Record]) -> SentBatch:
        """Queue as many of the first records as fit into one batch, at least one.

        Faster than `send` for each record, which costs a future, a lock and a wake-up.
        """
        full = self._prefix + topic
        batch = self._client.create_batch()
        for key, value in records:
            framed = await self._framing.frame(topic, full, value)
            if batch.append(key=key, value=framed, timestamp=None, headers=_headers(framed)) is None:
                break
        batch.close()
        return SentBatch(batch.record_count(), await self._client.send_batch(batch, full, partition=partition))

    async def write(self, topic: str, partition: int, records: Sequence[Record]) -> int:
        """Write records (at least one) in order; returns the offset of the last one when all are acknowledged."""
        sent: list[SentBatch] = []
        queued = 0
        while queued < len(records):
            sent.append(await self.send_batch(topic, partition, records[queued:]))
            queued += sent[-1].count
        return (await settle([batch.last_offset() for batch in sent]))[-1]

    async def flush(self) -> None:
        """Wait until all queued records are acknowledged or have failed."""
        await self._client.flush()


class TransactionalProducer(Producer):
    """Writes in transactions. After an error call `abort`, then discard the producer and the state that depends on it."""

    async def begin(self) -> None:
        """Begin a transaction with all records sent from now on."""
        await self._client.begin_transaction()

    async def send_offsets(self, offsets: Mapping[TopicPartition, tuple[int, str]], group: str) -> None:
        """Commit next offsets and their metadata for a group (full name) as part of the transaction."""
        await self._client.send_offsets_to_transaction(
            {raw(partition): offset for partition, offset in offsets.items()}, group
        )

    async def commit(self) -> None:
        """Commit the transaction. First await all futures of `send`: aiokafka would commit without a failed batch."""
        await self._client.commit_transaction()

    async def abort(self) -> None:
        """Abort the transaction if possible; otherwise the next producer with the same id does."""
        with suppress(KafkaError, AssertionError, TimeoutError):
            await asyncio.wait_for(self._client.abort_transaction(), ABORT_TIMEOUT_SEC)


def _headers(value: bytes | None, cause: str = "", scenarios: Sequence[str] | None = None) -> list[tuple[str, bytes]]:
    if value is not None:
        return []
    named = [] if scenarios is None else [(OF_SCENARIOS, encode_scenarios(scenarios))]
    return [(BY_EDDY, cause.encode()), *named]


async def settle(futures: Iterable[Awaitable[T]]) -> list[T]:
    """Await all futures, then raise the first failure, if any, so that no failure stays unobserved."""
    values: list[T] = []
    for result in await asyncio.gather(*futures, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
        values.append(result)
    return values
