"""Publishes releases: the changed item embeddings and the model that refers to them, in one transaction."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from eddy.clock import Clock
from eddy.contract.codec import Codec
from eddy.contract.message import Message
from eddy.contract.model import DIM, hash_of_contract
from eddy.contract.records import ItemEmbedding, ModelRelease
from eddy.contract.releases import CHAMPION, ReleaseKeys, sign_embeddings, sign_release
from eddy.contract.topics import ITEM_EMBEDDINGS, MODEL_RELEASES
from eddy.errors import FatalError, PoisonError
from eddy.kafka.bus import Bus, KafkaError, Producer, Reader, TransactionalProducer, settle
from eddy.kafka.permissions import PERMISSION_ERRORS, describe_denial
from eddy.kafka.producer import FENCED_ERRORS
from eddy.last_good_release import LastGoodRelease
from eddy_trainer.core.graphs import Graphs
from eddy_trainer.core.learner import Weights

TRANSACTIONAL_ID = f"trainer-{CHAMPION}"
BATCH_RECORDS = 20
RESTORE_SEC = 1.0  # between two restorations of the slot
FENCED = (
    "another trainer has started to publish releases, and this one may not publish any more. Run one trainer per Kafka and "
    "EDDY_TOPIC_PREFIX."
)

# A row is published again once it has moved by more than ROW_TOLERANCE (Euclidean; rows are unit vectors), the largest moves first and at
# most ROWS_PER_RELEASE per release. User vectors have length 1 / .08 = 12.5 and are nearly independent of the direction of a move, so a
# move of .02 changes a score by about .03, where the standard deviation of scores over items is about 1.5.
ROW_TOLERANCE = 0.02
ROWS_PER_RELEASE = 500


@dataclass(frozen=True, slots=True)
class PublishedRelease:
    """A published release: the number of rows published with it, and of moved rows that remain for the next one."""

    version: int
    rows: int
    remaining: int


class ReleasePublisher:
    """Writes releases with ascending versions, and remembers the published rows.

    Rows and release are one transaction of a producer with a fixed id: a second trainer fences the first, so that no version is written
    twice. The slot in the topic is watched: if anything else overwrites the newest release, it is written again, for compaction keeps
    the last record alone.
    """

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        signing_key: Ed25519PrivateKey,
        keys: ReleaseKeys,
        copy: LastGoodRelease | None = None,
        on_refused: Callable[[PoisonError], None] = lambda _: None,
        on_restored: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._signing_key = signing_key
        self._keys = keys
        self._copy = copy
        self._on_refused = on_refused
        self._on_restored = on_restored
        self._contract = hash_of_contract()
        self._row_codec = Codec.for_topic(ITEM_EMBEDDINGS)
        self._release_codec = Codec.for_topic(MODEL_RELEASES)
        self._partition = bus.partition_of(CHAMPION)
        self._producer: TransactionalProducer | None = None
        self._opened = AsyncExitStack()  # the producer
        self._reader: Reader | None = None
        self._reading = AsyncExitStack()
        self._lock = asyncio.Lock()
        self._published_rows = np.zeros((0, DIM), np.float32)
        self._published_ids: list[str] = []
        self._ends: list[int] = []
        self._value = b""  # the newest authentic release
        self._offset = -1  # its offset in the slot's partition
        self._overwritten = False
        self._restored_at = -math.inf
        self.version = 0
        self.trained_through: tuple[int, ...] = ()

    async def __aenter__(self) -> Self:
        """Fence other trainers, then find the newest authentic release. Raises FatalError for a missing permission."""
        if self._copy is not None and (copy := self._copy.load()) is not None:
            self._take_copy(self._copy, copy)
        self._reader = await self._reading.enter_async_context(
            self._bus.reader(self._bus.topic_partitions(MODEL_RELEASES))
        )
        async with self._lock:
            await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()
        await self._reading.aclose()

    async def publish(
        self, weights: Weights, graphs: Graphs, trained_through: Sequence[int], metrics: Mapping[str, float]
    ) -> PublishedRelease:
        """Publish the next version. Raises KafkaError if a write fails, FatalError if another trainer has taken over."""
        async with self._lock:
            producer = await self._open()
            version = self.version + 1
            self._published_rows[reused_rows(self._published_ids, weights.item_ids)] = 0
            changed, remaining = changed_rows(self._published_rows, weights.vectors)
            changed = changed[[weights.item_ids[row] != "" for row in changed.tolist()]]
            async with self._transaction(producer):
                ends = await self._publish_rows(producer, weights, changed, version)
                record: ModelRelease = {
                    "slot": CHAMPION,
                    "version": version,
                    "contract": self._contract,
                    "encode": graphs.encode,
                    "rank": graphs.rank,
                    "embedding_offsets": ends,
                    "trained_through": list(trained_through),
                    "metrics": dict(metrics),
                    "released_at": self._clock.now_ms(),
                    "signature": "",
                    "features": list(weights.columns.features),
                    "actions": list(weights.columns.actions),
                }
                value = self._release_codec.encode(sign_release(record, self._signing_key))
                written = await self._write(producer, value)
            self._take(version, value, written, trained_through)
            self._ends = ends
            published = np.zeros_like(weights.vectors)
            published[: len(self._published_rows)] = self._published_rows
            published[changed] = weights.vectors[changed]
            self._published_rows, self._published_ids = published, list(weights.item_ids)
            if self._copy is not None:
                await asyncio.to_thread(self._copy.save, value)
        return PublishedRelease(version, len(changed), remaining)

    async def delete_rows(self, item_ids: Sequence[str]) -> None:
        """Delete the published embeddings of items, without a release. Raises as `publish`."""
        async with self._lock:
            producer = await self._open()
            async with self._transaction(producer):
                futures = [await producer.send(ITEM_EMBEDDINGS, item_id, None) for item_id in item_ids]
                ends = self._ends_with(await settle(futures))
            self._ends = ends

    async def watch(self) -> bool:
        """Note what else is written to the topic, and restore the newest release if it was overwritten.

        Returns whether a newer authentic release appeared, which the next release has to follow.
        """
        if self._lock.locked() or self._reader is None:
            return False
        version = self.version
        for message in await self._reader.batch(0, BATCH_RECORDS):
            self._note(message)
        if self._overwritten and self.version and time.monotonic() - self._restored_at >= RESTORE_SEC:
            async with self._lock:
                await self._restore(await self._open())
        return self.version > version

    async def _open(self) -> TransactionalProducer:
        """The producer. A new one fences all others; what they wrote before is read, and the next release has every row."""
        if self._producer is not None:
            return self._producer
        try:
            producer = await self._opened.enter_async_context(self._bus.transactional_producer(TRANSACTIONAL_ID))
        except PERMISSION_ERRORS as error:
            raise FatalError(describe_denial(error)) from error
        self._published_rows, self._published_ids = np.zeros((0, DIM), np.float32), []
        self._ends = [0] * self._bus.partitions
        reader = self._reader
        if reader is not None:
            ends = await reader.end_offsets()
            while not await reader.at_end(ends):
                for message in await reader.batch(200, BATCH_RECORDS):
                    self._note(message)
        self._producer = producer
        if self._overwritten and self.version:
            await self._restore(producer)
        return producer

    async def _close(self) -> None:
        self._producer = None
        opened, self._opened = self._opened, AsyncExitStack()
        with suppress(KafkaError):
            await opened.aclose()

    @asynccontextmanager
    async def _transaction(self, producer: TransactionalProducer) -> AsyncIterator[None]:
        """A transaction, committed at the end. After an error the producer is closed, for its state is unknown."""
        try:
            await producer.begin()
            yield
            await producer.commit()
        except FENCED_ERRORS as error:
            raise FatalError(FENCED) from error
        except BaseException:
            await producer.abort()
            await self._close()
            raise

    async def _publish_rows(
        self, producer: Producer, weights: Weights, changed: NDArray[np.int64], version: int
    ) -> list[int]:
        """Write rows; returns the end offset of the rows of this process in each partition."""
        embeddings: list[ItemEmbedding] = [
            {
                "item_id": weights.item_ids[row],
                "version": version,
                "vector": weights.vectors[row].astype("<f4").tobytes(),
                "bias": 0.0,
                "signature": b"",
            }
            for row in changed.tolist()
        ]
        if embeddings:
            sign_embeddings(embeddings, self._signing_key)
        futures = [
            await producer.send(ITEM_EMBEDDINGS, embedding["item_id"], self._row_codec.encode(embedding))
            for embedding in embeddings
        ]
        present = set(weights.item_ids) if weights.deleted else ()
        for item_id in weights.deleted:
            if item_id not in present:
                futures.append(await producer.send(ITEM_EMBEDDINGS, item_id, None))
        return self._ends_with(await settle(futures))

    def _ends_with(self, written: Iterable[Any]) -> list[int]:
        ends = list(self._ends)
        for record in written:
            ends[record.partition] = max(ends[record.partition], record.offset + 1)
        return ends

    async def _write(self, producer: Producer, value: bytes) -> int:
        """Write a release; returns its offset."""
        (written,) = await settle([await producer.send(MODEL_RELEASES, CHAMPION, value)])
        return int(written.offset)

    async def _restore(self, producer: TransactionalProducer) -> None:
        self._restored_at = time.monotonic()
        async with self._transaction(producer):
            offset = await self._write(producer, self._value)
        self._offset, self._overwritten = offset, False
        self._on_restored(self.version)

    def _note(self, message: Message) -> None:
        """Note a record of the topic, own ones included."""
        in_slot = message.partition == self._partition and message.key == CHAMPION.encode()
        if in_slot and message.offset == self._offset:
            return
        record: ModelRelease | None = None
        try:
            if message.value:
                record = self._release_codec.decode(message.value)
                self._keys.check(record, message.key)
        except PoisonError as error:
            record = None
            self._on_refused(error)
        if record is not None and in_slot and record["version"] > self.version:
            self._take(record["version"], message.value, message.offset, record["trained_through"])
        elif in_slot and message.offset > self._offset:
            self._overwritten = message.value != self._value
            if not self._overwritten:
                self._offset = message.offset

    def _take(self, version: int, value: bytes, offset: int, trained_through: Sequence[int]) -> None:
        self.version, self._value, self._offset, self._overwritten = version, value, offset, False
        self.trained_through = tuple(trained_through)

    def _take_copy(self, copies: LastGoodRelease, copy: Message) -> None:
        try:
            record = self._release_codec.decode(copy.value)
            self._keys.check(record, copy.key)
        except PoisonError as error:
            copies.set_aside(error)
            return
        self._take(record["version"], copy.value, copy.offset, record["trained_through"])
        self._overwritten = True  # until it is read from the topic


def reused_rows(before: Sequence[str], after: Sequence[str]) -> list[int]:
    """Return the rows that do not belong to the same item any more, or to none."""
    if before == after[: len(before)]:
        return []
    return [row for row, (former, present) in enumerate(zip(before, after, strict=False)) if former != present]


def changed_rows(before: NDArray[np.float32], after: NDArray[np.float32]) -> tuple[NDArray[np.int64], int]:
    """Return the rows of `after` to publish, given the published rows `before`: new ones, and the ROWS_PER_RELEASE that moved most. Also
    returns how many more moved by more than ROW_TOLERANCE. Row 0 is padding and never published."""
    distances = np.linalg.norm(after[: len(before)] - before, axis=1)
    by_distance = np.argsort(-distances, kind="stable")[: np.count_nonzero(distances > ROW_TOLERANCE)]
    moved, new = np.sort(by_distance[:ROWS_PER_RELEASE]), np.arange(max(len(before), 1), len(after))
    return np.concatenate([moved, new]), len(by_distance) - len(moved)
