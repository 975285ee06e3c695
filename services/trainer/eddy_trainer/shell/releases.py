"""Publishes releases: the item rows that changed, all acknowledged, then the model that names them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eddy.clock import Clock
from eddy.contract.codec import Codec
from eddy.contract.model import DIM, hash_of_contract, sign_release
from eddy.contract.records import ItemEmbedding, ModelRelease
from eddy.contract.topics import ITEM_EMBEDDINGS, MODEL_RELEASES
from eddy.errors import DecodeError
from eddy.kafka.bus import Bus, Producer, settle
from eddy_trainer.core.graphs import Graphs
from eddy_trainer.core.learner import Weights

CHAMPION = "champion"
NEWEST_RECORDS = 20  # records of each partition that are looked at for the newest release

# A row is published again when it moved by more than this (Euclidean; rows are unit vectors), those that moved most first, and so many
# of known ones at most with one release: what is left over moves the more until the next. User vectors have length 1 / .08 = 12.5, in a
# direction that has little to do with a row's move: .02 is some .03 in a score whose deviation over items is about 1.5.
ROW_TOLERANCE = 0.02
ROWS_PER_RELEASE = 500


@dataclass(frozen=True, slots=True)
class NewestRelease:
    """The newest release that the topic holds: version 0 where there is none."""

    version: int = 0
    trained_through: tuple[int, ...] = ()
    graphs: Graphs | None = None


async def newest_release(bus: Bus) -> NewestRelease:
    """Look for the newest release at the ends of `model-releases`: releases of hours lie before it, and nobody needs them."""
    codec = Codec.for_topic(MODEL_RELEASES)
    newest = NewestRelease()
    partitions = bus.topic_partitions(MODEL_RELEASES)
    async with bus.reader(partitions) as reader:
        ends = {partition: end for partition, end in (await reader.end_offsets(partitions)).items() if end > 0}
        for partition, end in ends.items():
            reader.seek(partition, max(0, end - NEWEST_RECORDS))
        while not await reader.at_end(ends):
            for message in await reader.batch(200, NEWEST_RECORDS):
                newest = _newer(newest, message.value, codec)
    return newest


@dataclass(frozen=True, slots=True)
class PublishedRelease:
    """A release that is out: rows that went with it, and moved rows that were left for the next one."""

    version: int
    rows: int
    left: int


class ReleasePublisher:
    """Writes releases with rising versions; remembers what rows readers have."""

    def __init__(self, producer: Producer, bus: Bus, clock: Clock, version: int, embedding_ends: list[int]) -> None:
        self._producer = producer
        self._bus = bus
        self._clock = clock
        self._rows = np.zeros((0, DIM), np.float32)
        self._ends = embedding_ends
        self._contract = hash_of_contract()
        self._row_codec = Codec.for_topic(ITEM_EMBEDDINGS)
        self._release_codec = Codec.for_topic(MODEL_RELEASES)
        self.version = version

    async def publish(
        self, weights: Weights, graphs: Graphs, trained_through: Sequence[int], metrics: Mapping[str, float]
    ) -> PublishedRelease:
        """Publish the next version. Raises KafkaError when a write is refused."""
        version = self.version + 1
        changed, left = changed_rows(self._rows, weights.vectors)
        await self._publish_rows(weights, changed, version)
        features, actions = list(weights.columns.features), list(weights.columns.actions)
        record: ModelRelease = {
            "slot": CHAMPION,
            "version": version,
            "contract": self._contract,
            "encode": graphs.encode,
            "rank": graphs.rank,
            "embedding_offsets": list(self._ends),
            "trained_through": list(trained_through),
            "metrics": dict(metrics),
            "released_at": self._clock.now_ms(),
            "signature": sign_release(version, self._contract, graphs.encode, graphs.rank, features, actions),
            "features": features,
            "actions": actions,
        }
        await self._producer.send_all(MODEL_RELEASES, [(CHAMPION, self._release_codec.encode(record))])
        self.version = version
        return PublishedRelease(version, len(changed), left)

    async def _publish_rows(self, weights: Weights, changed: NDArray[np.int64], version: int) -> None:
        futures = []
        for row in changed.tolist():
            item_id, vector = weights.item_ids[row], weights.vectors[row]
            record: ItemEmbedding = {
                "item_id": item_id,
                "version": version,
                "vector": vector.astype("<f4").tobytes(),
                "bias": 0.0,
            }
            futures.append(await self._producer.send(ITEM_EMBEDDINGS, item_id, self._row_codec.encode(record)))
        for written in await settle(futures):
            self._ends[written.partition] = max(self._ends[written.partition], written.offset + 1)
        known = np.zeros_like(weights.vectors)
        known[: len(self._rows)] = self._rows
        known[changed] = weights.vectors[changed]
        self._rows = known


def changed_rows(before: NDArray[np.float32], after: NDArray[np.float32]) -> tuple[NDArray[np.int64], int]:
    """Rows of `after` to publish, given those that readers have: new ones and the ROWS_PER_RELEASE that moved most. Also how many moved
    by more than ROW_TOLERANCE and have to wait. Row 0 is padding, never published."""
    moved = np.linalg.norm(after[: len(before)] - before, axis=1)
    most_first = np.argsort(-moved, kind="stable")[: np.count_nonzero(moved > ROW_TOLERANCE)]
    known, new = np.sort(most_first[:ROWS_PER_RELEASE]), np.arange(max(len(before), 1), len(after))
    return np.concatenate([known, new]), len(most_first) - len(known)


def _newer(newest: NewestRelease, payload: bytes, codec: Codec[ModelRelease]) -> NewestRelease:
    try:
        record = codec.decode(payload)
    except DecodeError:
        return newest
    if record["version"] <= newest.version:
        return newest
    graphs = Graphs(record["encode"], record["rank"])
    return NewestRelease(record["version"], tuple(record["trained_through"]), graphs)
