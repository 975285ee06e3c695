"""Progressive validation: every example is predicted before it is learned from, by the weights that serve and by those in training."""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Losses = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LossComparison:
    """Losses of the candidate and of the serving model on the same `count` examples in `batches`."""

    count: int = 0
    batches: int = 0
    serving: float = 0.0
    candidate: float = 0.0
    error: float = 0.0  # standard error of the mean difference, batches being what is independent

    @property
    def difference(self) -> float:
        """How much worse the candidate is; negative when it is better."""
        return self.candidate - self.serving


class LossWindow:
    """The last `size` examples with both losses, in whole batches, and in `least_batches` at least."""

    def __init__(self, size: int, min_batches: int = 30) -> None:
        self._size = size
        self._least_batches = min_batches
        # Examples and the sums of their losses, and when they came, as the caller counts.
        self._batches: deque[tuple[int, float, float]] = deque()
        self._came: deque[int] = deque()
        self._count = 0

    def add(self, serving: Losses, candidate: Losses, *, arrival: int = 0) -> None:
        if not len(serving):
            return
        self._came.append(arrival)
        self._batches.append((len(serving), float(serving.sum()), float(candidate.sum())))
        self._count += len(serving)
        while len(self._batches) > self._least_batches and self._count - self._batches[0][0] >= self._size:
            self._drop()

    def forget(self, before: int) -> None:
        """Drop the batches that came before."""
        while self._came and self._came[0] < before:
            self._drop()

    def _drop(self) -> None:
        self._came.popleft()
        self._count -= self._batches.popleft()[0]

    def clear(self) -> None:
        self._batches.clear()
        self._came.clear()
        self._count = 0

    def compare(self) -> LossComparison:
        """Means over the window. The error is clustered by batch (Liang and Zeger 1986): what a batch has in common, negatives of lists
        that closed together say, moves all its differences at once."""
        if not self._count:
            return LossComparison()
        sizes, serving, candidate = np.array(self._batches).T
        surplus = candidate - serving
        error = float(np.sqrt(np.square(surplus - sizes * surplus.sum() / self._count).sum()) / self._count)
        means = float(serving.sum() / self._count), float(candidate.sum() / self._count)
        return LossComparison(self._count, len(sizes), *means, error)


class ScenarioLossWindows:
    """A window of the last `size` examples for each scenario, by name. What came more than `memory` examples of all scenarios ago is
    forgotten: a scenario that nobody uses any more has no say."""

    def __init__(self, size: int, memory: int) -> None:
        self._size, self._memory = size, memory
        self._windows: dict[int, tuple[str, LossWindow]] = {}
        self._seen = 0

    def admit(self, name: str, scenario: int) -> None:
        """A scenario is there from now on."""
        self._windows.setdefault(scenario, (name, LossWindow(self._size)))

    def add(self, scenarios: NDArray[np.int64], serving: Losses, candidate: Losses) -> None:
        """Losses [n] of examples of `scenarios` [n]."""
        self._seen += len(scenarios)
        for scenario in np.unique(scenarios).tolist():
            mine = scenarios == scenario
            self._windows[scenario][1].add(serving[mine], candidate[mine], arrival=self._seen)

    def compare(self) -> dict[str, LossComparison]:
        """Of each scenario of which there are examples."""
        found = {}
        for name, window in list(self._windows.values()):
            window.forget(self._seen - self._memory)
            found[name] = window.compare()
        return {name: each for name, each in found.items() if each.count}

    def clear(self) -> None:
        for _, window in list(self._windows.values()):
            window.clear()
