"""One list of considered candidates out of what the sources found."""

from collections.abc import Mapping

import numpy as np

from eddy.contract.model import MAX_SCENARIOS
from eddy.contract.scenarios import Scenario, Scenarios
from eddy_scorer.core.state.arrays import F64, I64, Bool

# What fills up comes after every place that a quota gives.
_FILL = 1000.0


class Merge:
    """Interleaves the sources in proportion to their quotas, drops duplicates, cuts at `considered`.

    `find` of each source brings up to its largest quota of any scenario; here each scenario's own holds.
    """

    def __init__(self, scenarios: Scenarios, sources: tuple[str, ...]) -> None:
        """`sources` in the order that decides a tie; one without a quota in scenarios.yaml may fill all that is considered."""
        self._sources = sources
        self._interleavings: dict[tuple[int, ...], tuple[I64, Bool, I64]] = {}
        self.quotas = {name: np.zeros(MAX_SCENARIOS, np.int64) for name in sources}
        self.considered = np.zeros(MAX_SCENARIOS, np.int64)
        scenarios.each(self._add)

    def _add(self, _: str, scenario: Scenario) -> None:
        self._interleavings.clear()
        self.considered[scenario.id] = scenario.candidates.considered
        for name in self._sources:
            self.quotas[name][scenario.id] = getattr(scenario.candidates, name, scenario.candidates.considered)

    def largest(self, source: str) -> int:
        """The largest quota of a source in any scenario."""
        return int(self.quotas[source].max())

    def merge(self, found: Mapping[str, I64], fill: I64, scenarios: I64, limits: I64) -> tuple[I64, I64]:
        """Rows [B, C] and the number of each one's first source [B, C] (len(sources) for `fill`), 0-padded on the right.

        `found` holds [B, quota] rows of every source, `fill` [B, F]; `limits` [B] is how many candidates each request considers.
        """
        lines = np.arange(len(scenarios))[:, None]
        widths = (*[found[name].shape[1] for name in self._sources], fill.shape[1])
        orders, within, sources = self._interleaving(widths)
        order = orders[scenarios]
        together = np.concatenate([*[found[name] for name in self._sources], fill], axis=1)
        rows = together[lines, order] * within[scenarios]
        valid = (rows > 0) & _first_of_each(rows)
        valid &= np.cumsum(valid, axis=1) <= limits[:, None]
        # What is valid moves to the front, in order; what is not becomes 0.
        line, column = np.nonzero(valid)
        counts = valid.sum(axis=1)
        place = np.arange(len(line)) - np.repeat(np.cumsum(counts) - counts, counts)
        merged = np.zeros((2, len(rows), int(counts.max(initial=0))), np.int64)
        merged[:, line, place] = rows[line, column], sources[order[line, column]]
        return merged[0], merged[1]

    def _interleaving(self, widths: tuple[int, ...]) -> tuple[I64, Bool, I64]:
        """For each scenario the order of columns and which of them are within its quotas; for each column its source."""
        known = self._interleavings.get(widths)
        if known is None:
            places, sources = self._places(widths)
            order = np.argsort(places, axis=1, kind="stable")
            known = order, np.isfinite(np.take_along_axis(places, order, 1)), sources
            self._interleavings[widths] = known
        return known

    def _places(self, widths: tuple[int, ...]) -> tuple[F64, I64]:
        """For each scenario and column the place in the interleaving (infinite beyond the quota), and each column's source."""
        fills = widths[-1]
        places, sources = [], []
        for number, name in enumerate(self._sources):
            columns, quotas = np.arange(widths[number]), self.quotas[name][:, None]
            places.append(np.where(columns < quotas, (columns + 0.5) / np.maximum(quotas, 1), np.inf))
            sources.append(np.full(len(columns), number))
        places.append(np.broadcast_to(_FILL + np.arange(fills), (MAX_SCENARIOS, fills)))
        sources.append(np.full(fills, len(self._sources)))
        return np.concatenate(places, axis=1), np.concatenate(sources)


def contained(rows: I64, among: I64) -> Bool:
    """[B, C]: which of `rows` [B, C] are in the same line of `among` [B, M]."""
    found: Bool = (rows[:, :, None] == among[:, None, :]).any(axis=2)
    return found


def _first_of_each(rows: I64) -> Bool:
    """[B, Q]: true where a value stands for the first time in its line."""
    lines = np.arange(len(rows))[:, None]
    order = np.argsort(rows, axis=1, kind="stable")
    ordered = rows[lines, order]
    new = np.ones(rows.shape, bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.empty_like(new)
    first[lines, order] = new
    return first
