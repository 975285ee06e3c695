"""The last release that proved good, kept to go back to.

The gate judges by what came before the release, and compares with what serves: a step that goes wrong right before a release gets through,
and from then on a bad candidate is no worse than what serves. So a release is kept that was judged over a window of its own after it was
made, and the ranker in training is judged beside it, on examples that none of them has learned from.
"""

from copy import deepcopy
from dataclasses import dataclass, field

from eddy_trainer.core.gate import GatePolicy, is_known, is_worse
from eddy_trainer.core.models.ranker import Ranker
from eddy_trainer.core.progressive import Losses, Window

PROVEN_BY = 2000  # shown items


@dataclass(frozen=True, slots=True)
class Release:
    """A ranker that was released, and its version."""

    ranker: Ranker
    version: int


@dataclass(frozen=True, slots=True)
class _Beside:
    """A ranker beside the proven one: at what is acted on of what was shown, and at what is chosen next out of a list.

    It is worse where it is worse at both. Either alone may be a shift in what comes, negatives that come later than positives, say:
    learning takes care of that.
    """

    labels: Window = field(default_factory=lambda: Window(PROVEN_BY))
    lists: Window = field(default_factory=lambda: Window(PROVEN_BY))

    def is_worse(self, policy: GatePolicy) -> bool:
        return is_worse(self.labels.compare(), policy) and is_worse(self.lists.compare(), policy)

    def has_proved_good(self, policy: GatePolicy) -> bool:
        """Judged long enough at both, and worse at neither."""
        labels, lists = self.labels.compare(), self.lists.compare()
        enough = labels.count >= PROVEN_BY and is_known(labels, policy) and is_known(lists, policy)
        return enough and not (is_worse(labels, policy) or is_worse(lists, policy))


class Proven:
    """`release` proved good, or is the first there was; `successor` takes its place when it proves good beside it."""

    def __init__(self) -> None:
        self.release: Release | None = None
        self.successor: Release | None = None
        self._training, self._succeeding = _Beside(), _Beside()

    @property
    def rankers(self) -> list[Ranker]:
        """Whose losses `add` wants, in order, before those of the ranker in training."""
        return [each.ranker for each in (self.release, self.successor) if each is not None]

    def serves(self, ranker: Ranker, version: int, policy: GatePolicy) -> None:
        """A ranker was released: it is the next successor, where there is room for one."""
        if self.successor is not None:
            if self._succeeding.has_proved_good(policy):
                self.release, self.successor = self.successor, None
                self._training = _Beside()
            elif self._succeeding.is_worse(policy):
                self.successor = None
        if self.successor is None:
            self.successor = Release(deepcopy(ranker), version)
            self._succeeding = _Beside()
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

    def went_back(self) -> None:
        """Training goes on from a former ranker: what was judged since, and what waited to be proven, is of no interest."""
        self.successor = None
        self._training, self._succeeding = _Beside(), _Beside()
