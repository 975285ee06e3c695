"""The last known good release, kept to roll back to.

The gate judges by the examples before a release, and compares with what serves: a step that goes wrong right before a release gets
through, and from then on a bad candidate is no worse than what serves. So a release is kept that was judged over a window of its own after
it was made, and the ranker in training is compared with it, on examples that neither has learned from.
"""

from copy import deepcopy
from dataclasses import dataclass, field

from eddy_trainer.core.models.ranker import Ranker
from eddy_trainer.core.progressive import Losses, LossWindow
from eddy_trainer.core.release_gate import GatePolicy, is_conclusive, is_worse

REQUIRED_IMPRESSIONS = 2000  # shown items, before a release counts as good


@dataclass(frozen=True, slots=True)
class ReleasedRanker:
    """A ranker that was released, and its version."""

    ranker: Ranker
    version: int


@dataclass(frozen=True, slots=True)
class _RankerComparison:
    """A ranker compared with the last known good one on labels of shown items, and on the item chosen next from a list.

    It is worse when it is worse on both. Worse on one alone may be a shift in the data, negatives that arrive later than positives for
    example: learning takes care of that.
    """

    labels: LossWindow = field(default_factory=lambda: LossWindow(REQUIRED_IMPRESSIONS))
    lists: LossWindow = field(default_factory=lambda: LossWindow(REQUIRED_IMPRESSIONS))

    def is_worse(self, policy: GatePolicy) -> bool:
        return is_worse(self.labels.compare(), policy) and is_worse(self.lists.compare(), policy)

    def is_good(self, policy: GatePolicy) -> bool:
        """Judged long enough on both, and worse on neither."""
        labels, lists = self.labels.compare(), self.lists.compare()
        enough = labels.count >= REQUIRED_IMPRESSIONS and is_conclusive(labels, policy) and is_conclusive(lists, policy)
        return enough and not (is_worse(labels, policy) or is_worse(lists, policy))


class LastKnownGood:
    """`release` is known to be good, or is the first one; `successor` takes its place once it is known to be good."""

    def __init__(self) -> None:
        self.release: ReleasedRanker | None = None
        self.successor: ReleasedRanker | None = None
        self._training, self._succeeding = _RankerComparison(), _RankerComparison()

    @property
    def rankers(self) -> list[Ranker]:
        """Whose losses `add` wants, in order, before those of the ranker in training."""
        return [each.ranker for each in (self.release, self.successor) if each is not None]

    def note_release(self, ranker: Ranker, version: int, policy: GatePolicy) -> None:
        """A ranker was released: it is the next successor, unless another one is still being judged."""
        if self.successor is not None:
            if self._succeeding.is_good(policy):
                self.release, self.successor = self.successor, None
                self._training = _RankerComparison()
            elif self._succeeding.is_worse(policy):
                self.successor = None
        if self.successor is None:
            self.successor = ReleasedRanker(deepcopy(ranker), version)
            self._succeeding = _RankerComparison()
        self.release = self.release or self.successor

    def add(self, lists: list[Losses], labels: list[Losses]) -> None:
        """Losses of lists and of shown items, by `rankers` and, last, by the ranker in training."""
        self._training.labels.add(labels[0], labels[-1])
        self._training.lists.add(lists[0], lists[-1])
        if self.successor is not None:
            self._succeeding.labels.add(labels[0], labels[1])
            self._succeeding.lists.add(lists[0], lists[1])

    def is_worse(self, policy: GatePolicy) -> bool:
        """Whether the ranker in training is worse than `release`."""
        return self._training.is_worse(policy)

    def rolled_back(self) -> None:
        """Training was rolled back: forget the successor and everything judged so far."""
        self.successor = None
        self._training, self._succeeding = _RankerComparison(), _RankerComparison()
