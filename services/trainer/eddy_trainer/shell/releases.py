"""Publishes releases: first the changed item embeddings, then, once they are acknowledged, the model that refers to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from eddy.clock import Clock
from eddy.contract.codec import Codec
from eddy.contract.message import Message
from eddy.contract.model import DIM, hash_of_contract
from eddy.contract.records import ItemEmbedding, ModelRelease
from eddy.contract.releases import CHAMPION, ReleaseKeys, sign_release
from eddy.contract.topics import ITEM_EMBEDDINGS, MODEL_RELEASES
from eddy.errors import PoisonError
from eddy.kafka.bus import Bus, Producer, settle
from eddy_trainer.core.graphs import Graphs
from eddy_trainer.core.learner import Weights

BATCH_RECORDS = 20

# A row is published again once it has moved by more than ROW_TOLERANCE (Euclidean; rows are unit vectors), the largest moves first and at
# most ROWS_PER_RELEASE per release. User vectors have length 1 / .08 = 12.5 and are nearly independent of the direction of a move, so a
# move of .02 changes a score by about .03, where the standard deviation of scores over items is about 1.5.
ROW_TOLERANCE = 0.02
ROWS_PER_RELEASE = 500


@dataclass(frozen=True, slots=True)
class NewestRelease:
    """The newest release in the topic; version 0 if there is none."""

    version: int = 0
    trained_through: tuple[int, ...] = ()


async def newest_release(bus: Bus, keys: ReleaseKeys) -> NewestRelease:
    """Return the newest authentic release in `model-releases`."""
    codec = Codec.for_topic(MODEL_RELEASES)
    newest = NewestRelease()
    partitions = bus.topic_partitions(MODEL_RELEASES)
    async with bus.reader(partitions) as reader:
        ends = await reader.end_offsets(partitions)
        while not await reader.at_end(ends):
            for message in await reader.batch(200, BATCH_RECORDS):
                newest = _newer(newest, message, codec, keys)
    return newest


@dataclass(frozen=True, slots=True)
class PublishedRelease:
    """A published release: the number of rows published with it, and of moved rows that remain for the next one."""

    version: int
    rows: int
    remaining: int


class ReleasePublisher:
    """Writes releases with ascending versions, and remembers the published rows."""

    def __init__(
        self,
        producer: Producer,
        bus: Bus,
        clock: Clock,
        version: int,
        embedding_ends: list[int],
        signing_key: Ed25519PrivateKey,
    ) -> None:
        self._signing_key = signing_key
        self._producer = producer
        self._bus = bus
        self._clock = clock
        self._published_rows = np.zeros((0, DIM), np.float32)
        self._published_ids: list[str] = []
        self._ends = embedding_ends
        self._contract = hash_of_contract()
        self._row_codec = Codec.for_topic(ITEM_EMBEDDINGS)
        self._release_codec = Codec.for_topic(MODEL_RELEASES)
        self.version = version

    async def publish(
        self, weights: Weights, graphs: Graphs, trained_through: Sequence[int], metrics: Mapping[str, float]
    ) -> PublishedRelease:
        """Publish the next version. Raises KafkaError if a write fails."""
        version = self.version + 1
        reused = reused_rows(self._published_ids, weights.item_ids)
        self._published_rows[reused] = 0
        changed, remaining = changed_rows(self._published_rows, weights.vectors)
        changed = changed[[weights.item_ids[row] != "" for row in changed.tolist()]]
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
            "signature": "",
            "features": features,
            "actions": actions,
        }
        signed = sign_release(record, self._signing_key)
        await self._producer.send_all(MODEL_RELEASES, [(CHAMPION, self._release_codec.encode(signed))])
        self.version = version
        return PublishedRelease(version, len(changed), remaining)

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
        present = set(weights.item_ids) if weights.deleted else ()
        for item_id in weights.deleted:
            if item_id not in present:
                futures.append(await self._producer.send(ITEM_EMBEDDINGS, item_id, None))
        for written in await settle(futures):
            self._ends[written.partition] = max(self._ends[written.partition], written.offset + 1)
        published = np.zeros_like(weights.vectors)
        published[: len(self._published_rows)] = self._published_rows
        published[changed] = weights.vectors[changed]
        self._published_rows, self._published_ids = published, list(weights.item_ids)


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


def _newer(newest: NewestRelease, message: Message, codec: Codec[ModelRelease], keys: ReleaseKeys) -> NewestRelease:
    try:
        record = codec.decode(message.value)
        keys.check(record, message.key)
    except PoisonError:
        return newest
    if record["version"] <= newest.version:
        return newest
    return NewestRelease(record["version"], tuple(record["trained_through"]))
