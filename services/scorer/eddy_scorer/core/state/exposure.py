"""Counts how often each item was recommended recently, for catalogue coverage and inequality of exposure."""

import numpy as np

from eddy.contract.model import MAX_SCENARIOS
from eddy_scorer.core.state.arrays import F32, I64, grown

# Counts are halved after this many positions of a scenario's slates.
POSITIONS = 50_000
# The most recommended item is that of about as many of a scenario's last slates.
RECENT_SLATES = 500
# An item with a smaller count does not count as recommended.
MIN_COUNT = 0.5


class Exposure:
    """Counts recommended items by scenario and row, for the slates of this process. Counts are halved every POSITIONS positions."""

    def __init__(self) -> None:
        self._counts: F32 = np.zeros((MAX_SCENARIOS, 1), np.float32)
        self._since_halving = [0] * MAX_SCENARIOS
        self._recent: F32 = np.zeros((MAX_SCENARIOS, 1), np.float32)
        self._recent_slates = [0.0] * MAX_SCENARIOS

    def record(self, scenario: int, rows: I64) -> None:
        """Count the items of a slate."""
        self._counts = grown(self._counts, int(rows.max(initial=0)) + 1)
        self._counts[scenario, rows] += 1.0
        self._recent = grown(self._recent, self._counts.shape[1])
        self._recent[scenario, rows] += 1.0
        self._recent_slates[scenario] += 1
        if self._recent_slates[scenario] >= RECENT_SLATES:
            self._recent_slates[scenario] /= 2
            self._recent[scenario] *= 0.5
        self._since_halving[scenario] += len(rows)
        if self._since_halving[scenario] >= POSITIONS:
            self._since_halving[scenario] = 0
            self._counts[scenario] *= 0.5

    def forget(self, rows: I64) -> None:
        """Drop the counts of rows."""
        for counts in (self._counts, self._recent):
            counts[:, rows[rows < counts.shape[1]]] = 0.0

    def coverage_and_gini(self, scenario: int, eligible: I64) -> tuple[float, float]:
        """Share of the `eligible` rows that were recommended recently, and the Gini coefficient of their counts; (0, 0) without counts."""
        recent = grown(self._counts, int(eligible.max(initial=0)) + 1)
        counts = np.sort(recent[scenario, eligible].astype(np.float64))
        total = counts.sum()
        if not total:
            return 0.0, 0.0
        cumulated = np.cumsum(counts) / total
        return float((counts >= MIN_COUNT).mean()), float(1 - (2 * cumulated.sum() - 1) / len(counts))

    def top(self, scenario: int) -> tuple[int, float]:
        """The row that most recent slates of a scenario contain, and the share of them that do; (0, 0) without slates."""
        slates = self._recent_slates[scenario]
        if not slates:
            return 0, 0.0
        row = int(self._recent[scenario].argmax())
        return row, float(self._recent[scenario, row]) / slates
