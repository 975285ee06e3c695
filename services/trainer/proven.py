"""The last release that proved good, kept to go back to.

The gate judges by what came before the release, and compares with what serves: a step that goes wrong right before a release gets through,
and from then on a bad candidate is no worse than what serves. So a release is kept once what came of it was judged over a window, and the
ranker in training is judged beside it, on examples that neither has learned from.
"""

from copy import deepcopy
from dataclasses import dataclass

from services.trainer.gate import GatePolicy, is_known, is_worse
from services.trainer.models.ranker import Ranker
from services.trainer.progressive import Losses, Window


@dataclass(frozen=True, slots=True)
class Release:
    """A ranker that was released, and its version."""

    ranker: Ranker
    version: int


class Proven:
    """Two releases: `release` proved good, `_next` takes its place when what came of it proves good over `size` examples."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._labels, self._lists = Window(size), Window(size)
        self._next: Release | None = None
        self.release: Release | None = None

    def serves(self, ranker: Ranker, version: int, policy: GatePolicy) -> None:
        """A ranker was released: it is the next to be proven, when there is room for one."""
        labels = self._labels.compare()
        if self._next is not None and labels.count >= self._size and is_known(labels, policy):
            if self.is_worse(policy):
                return
            self.release, self._next = self._next, None
            self._clear()
        if self._next is None:
            self._next = Release(deepcopy(ranker), version)
        self.release = self.release or self._next

    def add(self, labels: tuple[Losses, Losses], lists: tuple[Losses, Losses]) -> None:
        """Losses of shown items and of lists, by `release` and by the ranker in training."""
        self._labels.add(*labels)
        self._lists.add(*lists)

    def is_worse(self, policy: GatePolicy) -> bool:
        """Whether the ranker in training is worse than `release`, both at what is acted on of what was shown and at what is chosen next.

        Either alone may be a shift in what comes: negatives that come later than positives, say. Learning takes care of that.
        """
        return is_worse(self._labels.compare(), policy) and is_worse(self._lists.compare(), policy)

    def went_back(self) -> None:
        """`release` is in training again: what was judged since, and what waited to be proven, is of no interest."""
        self._next = self.release
        self._clear()

    def _clear(self) -> None:
        self._labels.clear()
        self._lists.clear()
