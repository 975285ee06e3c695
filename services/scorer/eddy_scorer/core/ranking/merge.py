"""One row of candidates for each request out of what the sources brought."""

from collections.abc import Mapping, Sequence

import numpy as np

from eddy.contract.model import MAX_SCENARIOS
from eddy.contract.scenarios import Scenario, Scenarios
from eddy_scorer.core.state.arrays import F64, I64, Bool

# Fill comes after every position that a quota gives.
_FILL = 1000.0


class SourceMerger:
    """Interleaves the sources in proportion to their quotas, drops duplicates, cuts at the scenario's number of candidates.

    Each source brings up to its largest quota of any scenario; here each scenario's own holds.
    """

    def __init__(self, scenarios: Scenarios, sources: Sequence[str]) -> None:
        """`sources` in the order that decides a tie; one without a quota in scenarios.yaml may bring all candidates."""
        self._sources = tuple(sources)
        self._interleavings: dict[tuple[int, ...], tuple[I64, Bool, I64]] = {}
        self._quotas = {name: np.zeros(MAX_SCENARIOS, np.int64) for name in sources}
        self.candidates = np.zeros(MAX_SCENARIOS, np.int64)
        scenarios.subscribe(self._add)

    def _add(self, _: str, scenario: Scenario) -> None:
        self._interleavings.clear()
        self.candidates[scenario.id] = scenario.candidates.ranked
        for name in self._sources:
            self._quotas[name][scenario.id] = scenario.candidates.quota(name)

    def largest_quotas(self) -> dict[str, int]:
        """The largest quota of each source in any scenario."""
        return {name: int(quotas.max()) for name, quotas in self._quotas.items()}

    def merge(self, brought: Mapping[str, I64], fill: I64, scenarios: I64, limits: I64) -> tuple[I64, I64]:
        """Rows [B, C] and the number of each one's first source [B, C] (len(sources) for `fill`), 0-padded on the right.

        `brought` has rows [B, Q] of every source, `fill` [B, F]; `limits` [B] is how many candidates each request has.
        """
        widths = (*[brought[name].shape[1] for name in self._sources], fill.shape[1])
        orders, within, sources = self._interleaving(widths)
        order = orders[scenarios]
        together = np.concatenate([*[brought[name] for name in self._sources], fill], axis=1)
        rows = together[np.arange(len(scenarios))[:, None], order] * within[scenarios]
        valid = (rows > 0) & _first_of_each(rows)
        valid &= np.cumsum(valid, axis=1) <= limits[:, None]
        # What is valid moves to the front, in order; what is not becomes 0.
        index, column = np.nonzero(valid)
        counts = valid.sum(axis=1)
        position = np.arange(len(index)) - np.repeat(np.cumsum(counts) - counts, counts)
        merged = np.zeros((2, len(rows), int(counts.max(initial=0))), np.int64)
        merged[:, index, position] = rows[index, column], sources[order[index, column]]
        return merged[0], merged[1]

    def _interleaving(self, widths: tuple[int, ...]) -> tuple[I64, Bool, I64]:
        """For each scenario the order of columns and which of them are within its quotas; for each column its source."""
        interleaving = self._interleavings.get(widths)
        if interleaving is None:
            positions, sources = self._positions(widths)
            order = np.argsort(positions, axis=1, kind="stable")
            interleaving = order, np.isfinite(np.take_along_axis(positions, order, 1)), sources
            self._interleavings[widths] = interleaving
        return interleaving

    def _positions(self, widths: tuple[int, ...]) -> tuple[F64, I64]:
        """For each scenario and column the position in the interleaving (infinite beyond the quota), and each column's source."""
        fills = widths[-1]
        positions, sources = [], []
        for number, name in enumerate(self._sources):
            columns, quotas = np.arange(widths[number]), self._quotas[name][:, None]
            positions.append(np.where(columns < quotas, (columns + 0.5) / np.maximum(quotas, 1), np.inf))
            sources.append(np.full(len(columns), number))
        positions.append(np.broadcast_to(_FILL + np.arange(fills), (MAX_SCENARIOS, fills)))
        sources.append(np.full(fills, len(self._sources)))
        return np.concatenate(positions, axis=1), np.concatenate(sources)


def contained(rows: I64, among: I64) -> Bool:
    """[B, C]: which of `rows` [B, C] are in the same row of `among` [B, M]."""
    inside: Bool = (rows[:, :, None] == among[:, None, :]).any(axis=2)
    return inside


def _first_of_each(rows: I64) -> Bool:
    """[B, Q]: true where a value occurs for the first time in its row."""
    indices = np.arange(len(rows))[:, None]
    order = np.argsort(rows, axis=1, kind="stable")
    ordered = rows[indices, order]
    new = np.ones(rows.shape, bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.empty_like(new)
    first[indices, order] = new
    return first
