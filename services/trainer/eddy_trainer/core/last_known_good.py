"""The last known good release, kept to roll back to.

The release gate sees the examples before a release and compares with the serving release. A step that goes wrong just before a release
passes, and from then on a bad candidate is no worse than the serving release. Therefore one release is kept that was evaluated on a window
of later examples, and the ranker in training is compared with it on examples that neither was trained on.
"""

from copy import deepcopy
from dataclasses import dataclass, field

from eddy_trainer.core.models.ranker import Ranker
from eddy_trainer.core.progressive import Losses, LossWindow
from eddy_trainer.core.release_gate import GatePolicy, is_conclusive, is_worse

REQUIRED_IMPRESSIONS = 2000  # impressions that a release must be evaluated on before it counts as good


@dataclass(frozen=True, slots=True)
class ReleasedRanker:
    """A released ranker and its version."""

    ranker: Ranker
    version: int


@dataclass(frozen=True, slots=True)
class _RankerComparison:
    """Comparison of a ranker with the last known good one, on labels of impressions and on next items.

    The ranker is worse if it is worse on both. A difference on one of them may be a shift in the data, such as negatives that arrive
    later than positives; training corrects that.
    """

    labels: LossWindow = field(default_factory=lambda: LossWindow(REQUIRED_IMPRESSIONS))
    next_items: LossWindow = field(default_factory=lambda: LossWindow(REQUIRED_IMPRESSIONS))

    def is_worse(self, policy: GatePolicy) -> bool:
        return is_worse(self.labels.compare(), policy) and is_worse(self.next_items.compare(), policy)

    def is_good(self, policy: GatePolicy) -> bool:
        """Whether enough examples were seen on both and the ranker is worse on neither."""
        labels, next_items = self.labels.compare(), self.next_items.compare()
        enough = (
            labels.count >= REQUIRED_IMPRESSIONS and is_conclusive(labels, policy) and is_conclusive(next_items, policy)
        )
        return enough and not (is_worse(labels, policy) or is_worse(next_items, policy))


class LastKnownGood:
    """`release` is the last known good release, or the first one; `successor` replaces it once it has proved good."""

    def __init__(self) -> None:
        self.release: ReleasedRanker | None = None
        self.successor: ReleasedRanker | None = None
        self._training, self._succession = _RankerComparison(), _RankerComparison()

    @property
    def rankers(self) -> list[Ranker]:
        """The rankers whose losses `add` expects, in this order, before those of the ranker in training."""
        return [each.ranker for each in (self.release, self.successor) if each is not None]

    def note_release(self, ranker: Ranker, version: int, policy: GatePolicy) -> None:
        """Record a release: it becomes the successor unless another one is still being evaluated."""
        if self.successor is not None:
            if self._succession.is_good(policy):
                self.release, self.successor = self.successor, None
                self._training = _RankerComparison()
            elif self._succession.is_worse(policy):
                self.successor = None
        if self.successor is None:
            self.successor = ReleasedRanker(deepcopy(ranker), version)
            self._succession = _RankerComparison()
        self.release = self.release or self.successor

    def add(self, next_items: list[Losses], labels: list[Losses]) -> None:
        """Add the losses on candidate sets and on impressions of each of `rankers` and, last, of the ranker in training."""
        self._training.labels.add(labels[0], labels[-1])
        self._training.next_items.add(next_items[0], next_items[-1])
        if self.successor is not None:
            self._succession.labels.add(labels[0], labels[1])
            self._succession.next_items.add(next_items[0], next_items[1])

    def is_worse(self, policy: GatePolicy) -> bool:
        """Whether the ranker in training is worse than `release`."""
        return self._training.is_worse(policy)

    def reset(self) -> None:
        """Drop the successor and all comparisons, after a rollback."""
        self.successor = None
        self._training, self._succession = _RankerComparison(), _RankerComparison()
