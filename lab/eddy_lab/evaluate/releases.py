"""The releases of a benchmark: counts, and what the recommender needs to serve one."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eddy_scorer.core.model.graphs import OnnxModel
from eddy_scorer.core.ranking.recommender import Recommender
from eddy_trainer.core.graphs import Graphs
from eddy_trainer.core.learner import Rollback
from eddy_trainer.core.release import HeldRelease, Release


@dataclass(slots=True)
class ReleaseCounts:
    """Number of releases, and of held and rolled-back ones by reason."""

    released: int = 0
    held: Counter[str] = field(default_factory=Counter)
    rolled_back: Counter[str] = field(default_factory=Counter)

    def note(self, prepared: Release | HeldRelease | None) -> None:
        """Count a prepared release; None if none was due. A release held for two reasons counts for both."""
        match prepared:
            case Release():
                self.released += 1
            case HeldRelease():
                self.held.update(prepared.reasons)

    def note_rollback(self, back: Rollback | None) -> None:
        if back is not None:
            self.rolled_back[back.reason] += 1

    def as_dict(self) -> dict[str, Any]:
        """As in the details of a benchmark result."""
        return {"releases": self.released, "held": dict(self.held), "rolled_back": dict(self.rolled_back)}


@dataclass(frozen=True, slots=True)
class ServedRelease:
    """The parts of a release that a recommender needs: item ids and vectors [rows, DIM] by row (row 0 is padding), and both graphs."""

    item_ids: list[str]
    vectors: NDArray[np.float32]
    graphs: Graphs

    @staticmethod
    def of(release: Release) -> "ServedRelease":
        return ServedRelease(release.weights.item_ids, release.weights.vectors, release.graphs)

    def serve_by(self, recommender: Recommender, version: int) -> None:
        """Make `recommender` serve this release."""
        vectors = self.vectors[1:]
        recommender.set_embeddings(self.item_ids[1:], vectors, np.zeros(len(vectors), np.float32))
        recommender.model = OnnxModel(version, self.graphs.encode, self.graphs.rank)


@dataclass(frozen=True, slots=True)
class MicroBatchResult:
    """The result of a micro-batch: `served` is None if the gate held the release back. `train_sec` is CPU time since the start."""

    served: ServedRelease | None
    counts: ReleaseCounts
    train_sec: float
