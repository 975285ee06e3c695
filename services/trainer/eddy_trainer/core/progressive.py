"""Progressive validation: the serving model and the one in training predict every example before it is used for training."""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Losses = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LossComparison:
    """Mean losses of the serving model and of the candidate on the same `count` examples in `batches`."""

    count: int = 0
    batches: int = 0
    serving: float = 0.0
    candidate: float = 0.0
    error: float = 0.0  # standard error of the mean difference, with batches as independent units

    @property
    def difference(self) -> float:
        """Loss of the candidate minus that of the serving model; negative if the candidate is better."""
        return self.candidate - self.serving


class LossWindow:
    """Losses of both models on the last `size` examples, in whole batches and at least `min_batches` of them."""

    def __init__(self, size: int, min_batches: int = 30) -> None:
        self._size = size
        self._least_batches = min_batches
        # Number of examples, and the sums of their losses.
        self._batches: deque[tuple[int, float, float]] = deque()
        self._arrivals: deque[int] = deque()
        self._count = 0

    def add(self, serving: Losses, candidate: Losses, *, arrival: int = 0) -> None:
        """Add a batch of losses; `arrival` is its number in the caller's count, for `drop_before`."""
        if not len(serving):
            return
        self._arrivals.append(arrival)
        self._batches.append((len(serving), float(serving.sum()), float(candidate.sum())))
        self._count += len(serving)
        while len(self._batches) > self._least_batches and self._count - self._batches[0][0] >= self._size:
            self._drop()

    def drop_before(self, arrival: int) -> None:
        """Drop batches with a lower arrival number."""
        while self._arrivals and self._arrivals[0] < arrival:
            self._drop()

    def _drop(self) -> None:
        self._arrivals.popleft()
        self._count -= self._batches.popleft()[0]

    def clear(self) -> None:
        self._batches.clear()
        self._arrivals.clear()
        self._count = 0

    def compare(self) -> LossComparison:
        """Return means over the window. The standard error is clustered by batch (Liang and Zeger 1986), because the differences within a
        batch are correlated, for example negatives whose windows close together."""
        if not self._count:
            return LossComparison()
        sizes, serving, candidate = np.array(self._batches).T
        surplus = candidate - serving
        error = float(np.sqrt(np.square(surplus - sizes * surplus.sum() / self._count).sum()) / self._count)
        means = float(serving.sum() / self._count), float(candidate.sum() / self._count)
        return LossComparison(self._count, len(sizes), *means, error)


class ScenarioLossWindows:
    """A window of the last `size` examples for each scenario, by name. Examples older than the last `memory` of all scenarios are dropped,
    so that a scenario without traffic has no influence."""

    def __init__(self, size: int, memory: int) -> None:
        self._size, self._memory = size, memory
        self._windows: dict[int, tuple[str, LossWindow]] = {}
        self._seen = 0

    def add_scenario(self, name: str, scenario: int) -> None:
        """Start a window for a scenario."""
        self._windows.setdefault(scenario, (name, LossWindow(self._size)))

    def add(self, scenarios: NDArray[np.int64], serving: Losses, candidate: Losses) -> None:
        """Add losses [n] of examples of `scenarios` [n]."""
        self._seen += len(scenarios)
        for scenario in np.unique(scenarios).tolist():
            mask = scenarios == scenario
            self._windows[scenario][1].add(serving[mask], candidate[mask], arrival=self._seen)

    def compare(self) -> dict[str, LossComparison]:
        """Return the comparison of each scenario that has examples."""
        comparisons = {}
        for name, window in list(self._windows.values()):
            window.drop_before(self._seen - self._memory)
            comparisons[name] = window.compare()
        return {name: each for name, each in comparisons.items() if each.count}

    def clear(self) -> None:
        for _, window in list(self._windows.values()):
            window.clear()
