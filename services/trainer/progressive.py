"""Progressive validation: every example is predicted before it is learned from, by the weights that serve and by those in training."""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Losses = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Losses of the candidate and of the serving model on the same `count` examples."""

    count: int = 0
    serving: float = 0.0
    candidate: float = 0.0
    error: float = 0.0  # standard error of the mean difference

    @property
    def difference(self) -> float:
        """How much worse the candidate is; negative when it is better."""
        return self.candidate - self.serving


class Window:
    """The last `size` examples with both losses, in whole batches."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._batches: deque[tuple[Losses, Losses]] = deque()
        self._count = 0

    def add(self, serving: Losses, candidate: Losses) -> None:
        if not len(serving):
            return
        self._batches.append((serving, candidate))
        self._count += len(serving)
        while self._count - len(self._batches[0][0]) >= self._size:
            self._count -= len(self._batches.popleft()[0])

    def clear(self) -> None:
        self._batches.clear()
        self._count = 0

    def compare(self) -> Comparison:
        if not self._count:
            return Comparison()
        serving, candidate = (np.concatenate(column) for column in zip(*self._batches, strict=True))
        difference = candidate - serving
        error = float(difference.std()) / self._count**0.5
        return Comparison(self._count, float(serving.mean()), float(candidate.mean()), error)
