"""How often each item was recommended recently: what coverage of the catalogue and inequality of exposure are computed from."""

import numpy as np

from eddy.contract.model import MAX_SCENARIOS
from eddy_scorer.core.state.arrays import F32, I64, grown

# Positions of a scenario's slates that count in full; older ones count for half, a quarter, ...
POSITIONS = 50_000
RECENT = 0.5


class Exposure:
    """Counts positions in slates by scenario and row, those of this process alone. Counts halve with every POSITIONS positions."""

    def __init__(self) -> None:
        self._counts: F32 = np.zeros((MAX_SCENARIOS, 1), np.float32)
        self._fresh = [0] * MAX_SCENARIOS

    def recommended(self, scenario: int, rows: I64) -> None:
        """A slate with the items of `rows` is served."""
        self._counts = grown(self._counts, int(rows.max(initial=0)) + 1)
        self._counts[scenario, rows] += 1.0
        self._fresh[scenario] += len(rows)
        if self._fresh[scenario] >= POSITIONS:
            self._fresh[scenario] = 0
            self._counts[scenario] *= 0.5

    def of(self, scenario: int, eligible: I64) -> tuple[float, float]:
        """Share of the rows `eligible` that were recommended recently, and the Gini coefficient of how often; (0, 0) where none was."""
        recent = grown(self._counts, int(eligible.max(initial=0)) + 1)
        counts = np.sort(recent[scenario, eligible].astype(np.float64))
        total = counts.sum()
        if not total:
            return 0.0, 0.0
        cumulated = np.cumsum(counts) / total
        return float((counts >= RECENT).mean()), float(1 - (2 * cumulated.sum() - 1) / len(counts))
