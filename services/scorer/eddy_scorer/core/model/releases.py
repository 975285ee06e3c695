"""Stages releases and their item embeddings until both are complete."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eddy.contract.limits import MAX_VERSION
from eddy.contract.message import Message
from eddy.contract.model import DIM, is_compatible
from eddy.contract.records import ItemEmbedding, ModelRelease
from eddy.contract.releases import CHAMPION, ReleaseKeys
from eddy.errors import PoisonError
from eddy_scorer.core.state.arrays import F32

_MAX_STAGED_RELEASES = 3  # while a release serves
# While none serves, there may be many that do not run, and the newest good one is older than all of them.
MAX_STAGED_BYTES = 256 * 1024 * 1024
_MAX_STAGED_ROWS = 64  # per item


@dataclass(frozen=True, slots=True)
class StagedEmbedding:
    """The embedding of an item in one version; an empty vector means that the trainer has expired the item."""

    version: int
    vector: bytes
    bias: float


@dataclass(frozen=True, slots=True)
class EmbeddingUpdate:
    """The changes of a release: `vectors` [R, DIM] and `bias` [R] of `item_ids`, and the items that lose their embedding."""

    item_ids: list[str]
    vectors: F32
    bias: F32
    expired: list[str]


@dataclass(frozen=True, slots=True)
class StagedRelease:
    """A valid release, with its message."""

    release: ModelRelease
    message: Message

    @property
    def version(self) -> int:
        return int(self.release["version"])

    def complete(self, positions: Mapping[int, int]) -> bool:
        """Whether all embeddings of the release have been read, given the next offset of each partition."""
        offsets = enumerate(self.release["embedding_offsets"])
        return all(positions.get(partition, 0) >= offset for partition, offset in offsets)


class ReleaseStaging:
    """Keeps item embeddings by version until a release needs them, and the newest releases until one is activated.

    A release is complete when item-embeddings has been read up to the offsets that the release names.
    """

    def __init__(self, keys: ReleaseKeys) -> None:
        self._keys = keys
        self._staged: dict[str, list[StagedEmbedding]] = {}
        self._releases: dict[int, StagedRelease] = {}

    def stage_embedding(self, record: ItemEmbedding) -> None:
        """Keep an `item_embedding` record for its release. Raises PoisonError for an invalid embedding."""
        vector = np.frombuffer(record["vector"], "<f4") if len(record["vector"]) == 4 * DIM else None
        if vector is None or not np.isfinite(vector).all() or not np.isfinite(record["bias"]):
            raise PoisonError("bad_features", f"the embedding is not {DIM} finite numbers and a finite bias")
        if not record["item_id"]:
            raise PoisonError("missing_item", "item_id is empty. Every embedding belongs to an item.")
        if not 1 <= record["version"] <= MAX_VERSION:
            raise PoisonError("out_of_range", f"version is {record['version']}, not 1 to {MAX_VERSION}", "version")
        self._keys.check_embedding(record)
        self._put(record["item_id"], StagedEmbedding(record["version"], record["vector"], record["bias"]))

    def stage_expiry(self, item_id: str) -> None:
        """Remove the item's embedding with the next release."""
        self._put(item_id, StagedEmbedding(0, b"", 0.0))

    def stage_release(self, release: ModelRelease, message: Message, serving: int) -> None:
        """Keep a `model_release` record until its embeddings are complete. Raises PoisonError for an invalid release."""
        self._keys.check(release, message.key)
        if release["slot"] != CHAMPION:
            return
        self._forget_before(min((*self._releases, release["version"])))
        if not is_compatible(release["contract"]):
            raise PoisonError(
                "contract_mismatch",
                f"version {release['version']} has model contract {release['contract'][:64]!r}, which this scorer does not support. "
                "Run trainer and scorers of compatible versions.",
            )
        if release["version"] > serving:
            self._releases[release["version"]] = StagedRelease(release, message)
            self._drop_oldest(is_serving=serving > 0)

    def next_complete(self, positions: Mapping[int, int]) -> StagedRelease | None:
        """The newest release that is complete at `positions`, the next offset of each partition of item-embeddings."""
        complete = [release for release in self._releases.values() if release.complete(positions)]
        return max(complete, key=lambda release: release.version, default=None)

    def activated(self, release: StagedRelease) -> None:
        """Drop a release that serves now, and all older ones."""
        self._releases = {version: each for version, each in self._releases.items() if version > release.version}

    def rejected(self, release: StagedRelease) -> None:
        """Drop a release whose graphs do not run."""
        self._releases.pop(release.version, None)

    def take_embeddings(self, version: int, or_later: frozenset[str] = frozenset()) -> EmbeddingUpdate:
        """Remove and return the newest embedding of each item up to `version`, or the next later one for the items `or_later`."""
        taken: dict[str, StagedEmbedding] = {}
        for item_id in list(self._staged):
            staged = self._staged[item_id]
            due = [each for each in staged if each.version <= version] or (staged[:1] if item_id in or_later else [])
            if due:
                taken[item_id] = due[-1]
                self._keep(item_id, staged[len(due) :])
        return _update_of(taken)

    def staged_items(self) -> list[str]:
        """Items with a staged embedding."""
        return list(self._staged)

    def _drop_oldest(self, is_serving: bool) -> None:
        """Keep the newest releases. An older one replaces one whose graphs fail, but they are large."""
        kept_bytes = 0
        for number, version in enumerate(sorted(self._releases, reverse=True)):
            kept_bytes += len(self._releases[version].message.value)
            if (number >= _MAX_STAGED_RELEASES) if is_serving else (kept_bytes > MAX_STAGED_BYTES):
                del self._releases[version]

    def _forget_before(self, version: int) -> None:
        """Keep only the newest embedding of each item up to `version`: no earlier release will be activated."""
        for staged in self._staged.values():
            passed = sum(each.version <= version for each in staged)
            del staged[: max(0, passed - 1)]

    def _put(self, item_id: str, embedding: StagedEmbedding) -> None:
        """The last writer is right: rows of the same or later versions are of a trainer that was replaced, or forged."""
        staged = self._staged.setdefault(item_id, [])
        staged[:] = [each for each in staged if each.version < embedding.version][-_MAX_STAGED_ROWS:]
        staged.append(embedding)

    def _keep(self, item_id: str, staged: list[StagedEmbedding]) -> None:
        if staged:
            self._staged[item_id] = staged
        else:
            del self._staged[item_id]


def _update_of(taken: Mapping[str, StagedEmbedding]) -> EmbeddingUpdate:
    present = {item_id: embedding for item_id, embedding in taken.items() if embedding.vector}
    flat = np.frombuffer(b"".join(embedding.vector for embedding in present.values()), "<f4")
    bias = np.array([embedding.bias for embedding in present.values()], np.float32)
    expired = [item_id for item_id, embedding in taken.items() if not embedding.vector]
    return EmbeddingUpdate(list(present), flat.reshape(len(present), DIM), bias, expired)
