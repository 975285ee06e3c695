"""Releases and the item rows that belong to them, until both are complete."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eddy.contract.message import Message
from eddy.contract.model import DIM, is_compatible, sign_release
from eddy.contract.records import ItemEmbedding, ModelRelease
from eddy.errors import PoisonError
from eddy_scorer.core.state.arrays import F32

CHAMPION = "champion"
_KEPT_OFFERS = 3


@dataclass(frozen=True, slots=True)
class StagedEmbedding:
    """An item row of one version; without a vector the trainer has expired it."""

    version: int
    vector: bytes
    bias: float


@dataclass(frozen=True, slots=True)
class EmbeddingUpdate:
    """What a release changes in the table: `vectors` [R, DIM] and `bias` [R] of `item_ids`, and the items whose rows go."""

    item_ids: list[str]
    vectors: F32
    bias: F32
    dropped: list[str]


@dataclass(frozen=True, slots=True)
class StagedRelease:
    """A release that holds, with the message that brought it."""

    release: ModelRelease
    message: Message

    @property
    def version(self) -> int:
        return int(self.release["version"])

    def complete(self, positions: Mapping[int, int]) -> bool:
        """Whether all rows of the release have been read."""
        needed = enumerate(self.release["embedding_offsets"])
        return all(positions.get(partition, 0) >= offset for partition, offset in needed)


class ReleaseStaging:
    """Keeps item rows by version until a release takes them, and the newest releases until one is taken.

    A release may be taken when item-embeddings has been read to the offsets that it names: all its rows are here then.
    """

    def __init__(self) -> None:
        self._staged: dict[str, list[StagedEmbedding]] = {}
        self._offers: dict[int, StagedRelease] = {}
        self._newest = 0

    def stage(self, record: ItemEmbedding) -> None:
        """Keep an `item_embedding` record for its release. Raises PoisonError for one that is no row of the table."""
        vector = np.frombuffer(record["vector"], "<f4") if len(record["vector"]) == 4 * DIM else None
        if vector is None or not np.isfinite(vector).all() or not np.isfinite(record["bias"]):
            raise PoisonError("bad_features", f"the embedding is not {DIM} finite numbers and a finite bias")
        if not record["item_id"]:
            raise PoisonError("missing_item", "item_id is empty. Every embedding belongs to an item.")
        self._newest = max(self._newest, record["version"])
        self._put(record["item_id"], StagedEmbedding(record["version"], record["vector"], record["bias"]))

    def stage_expiry(self, item_id: str) -> None:
        """The item's row was deleted: the next release goes without it."""
        self._put(item_id, StagedEmbedding(self._newest, b"", 0.0))

    def offer(self, release: ModelRelease, message: Message, serving: int) -> None:
        """Take in a `model_release` record, to wait for its rows. Raises PoisonError for one that must not serve."""
        if release["slot"] != CHAMPION:
            return
        self._forget_before(min((*self._offers, release["version"])))
        if not is_compatible(release["contract"]):
            raise PoisonError(
                "contract_mismatch",
                f"version {release['version']} has model contract {release['contract'][:64]}: not this scorer's",
            )
        names = release["features"], release["actions"]
        signature = sign_release(release["version"], release["contract"], release["encode"], release["rank"], *names)
        if release["signature"] != signature or release["version"] < 1:
            raise PoisonError("bad_release", f"version {release['version']} does not match its signature")
        if release["version"] > serving:
            self._offers[release["version"]] = StagedRelease(release, message)
            # Older ones stand in for a newest one that turns out not to run; they are large.
            for version in sorted(self._offers)[:-_KEPT_OFFERS]:
                del self._offers[version]

    def due(self, positions: Mapping[int, int]) -> StagedRelease | None:
        """The newest waiting release whose rows `positions` (next offset by partition of item-embeddings) have passed."""
        complete = [offer for offer in self._offers.values() if offer.complete(positions)]
        return max(complete, key=lambda offer: offer.version, default=None)

    def taken(self, offer: StagedRelease) -> None:
        """The release serves; older ones never will."""
        self._offers = {version: each for version, each in self._offers.items() if version > offer.version}

    def refused(self, offer: StagedRelease) -> None:
        """The release does not run."""
        self._offers.pop(offer.version, None)

    def rows_for(self, version: int, also: frozenset[str] = frozenset()) -> EmbeddingUpdate:
        """Hand over the rows up to `version`, the newest of each item; of the items in `also`, which have none, also a later one."""
        taken: dict[str, StagedEmbedding] = {}
        for item_id in list(self._staged):
            rows = self._staged[item_id]
            due = [row for row in rows if row.version <= version] or (rows[:1] if item_id in also else [])
            if due:
                taken[item_id] = due[-1]
                self._keep(item_id, rows[len(due) :])
        return _rows(taken)

    def staged_items(self) -> list[str]:
        """Items that have rows here."""
        return list(self._staged)

    def _forget_before(self, version: int) -> None:
        """Whatever serves next is of this version or later: of each item's rows up to it, the newest is all that is needed."""
        for rows in self._staged.values():
            passed = sum(row.version <= version for row in rows)
            del rows[: max(0, passed - 1)]

    def _put(self, item_id: str, row: StagedEmbedding) -> None:
        rows = self._staged.setdefault(item_id, [])
        rows[:] = [each for each in rows if each.version != row.version]
        rows.append(row)
        rows.sort(key=lambda each: each.version)

    def _keep(self, item_id: str, rows: list[StagedEmbedding]) -> None:
        if rows:
            self._staged[item_id] = rows
        else:
            del self._staged[item_id]


def _rows(taken: Mapping[str, StagedEmbedding]) -> EmbeddingUpdate:
    kept = {item_id: row for item_id, row in taken.items() if row.vector}
    flat = np.frombuffer(b"".join(row.vector for row in kept.values()), "<f4")
    bias = np.array([row.bias for row in kept.values()], np.float32)
    dropped = [item_id for item_id, row in taken.items() if not row.vector]
    return EmbeddingUpdate(list(kept), flat.reshape(len(kept), DIM), bias, dropped)
