"""How often each item stood in the lists of late: what coverage of the catalogue and inequality of exposure are told from."""

import numpy as np

from eddy.contract.model import MAX_SCENARIOS
from eddy_scorer.core.state.arrays import F32, I64, grown

# Places of a scenario's lists that are remembered whole; older ones count for half, a quarter, ...
PLACES = 50_000
OF_LATE = 0.5


class Exposure:
    """Counts places of lists by scenario and row, those of this process alone. They halve with every PLACES places, as an impression that
    is so old."""

    def __init__(self) -> None:
        self._places: F32 = np.zeros((MAX_SCENARIOS, 1), np.float32)
        self._fresh = [0] * MAX_SCENARIOS

    def listed(self, scenario: int, rows: I64) -> None:
        """A list with the items of `rows` goes out."""
        self._places = grown(self._places, int(rows.max(initial=0)) + 1)
        self._places[scenario, rows] += 1.0
        self._fresh[scenario] += len(rows)
        if self._fresh[scenario] >= PLACES:
            self._fresh[scenario] = 0
            self._places[scenario] *= 0.5

    def of(self, scenario: int, eligible: I64) -> tuple[float, float]:
        """Share of the rows `eligible` that were listed of late, and the Gini coefficient of how often; (0, 0) where nothing was listed."""
        places = grown(self._places, int(eligible.max(initial=0)) + 1)
        counts = np.sort(places[scenario, eligible].astype(np.float64))
        total = counts.sum()
        if not total:
            return 0.0, 0.0
        cumulated = np.cumsum(counts) / total
        return float((counts >= OF_LATE).mean()), float(1 - (2 * cumulated.sum() - 1) / len(counts))
