"""Merges the proposals of all sources into one row of candidates per request."""

from collections.abc import Mapping, Sequence

import numpy as np

from eddy.contract.model import MAX_SCENARIOS
from eddy.contract.scenarios import Scenario, Scenarios
from eddy_scorer.core.state.arrays import F64, I64, Bool

# Fill comes after all positions within quotas.
_FILL = 1000.0


class SourceMerger:
    """Interleaves the sources in proportion to their quotas, drops duplicates, and cuts at the scenario's number of candidates.

    Sources propose up to their largest quota of any scenario; the merge applies the quota of each request's scenario.
    """

    def __init__(self, scenarios: Scenarios, sources: Sequence[str]) -> None:
        """`sources` are in the order that breaks ties; a source without a quota in scenarios.yaml may propose all candidates."""
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

    def merge(self, proposed: Mapping[str, I64], fill: I64, scenarios: I64, limits: I64) -> tuple[I64, I64]:
        """Rows [B, C] and the index of the first source of each [B, C] (len(sources) for `fill`), padded with 0 on the right.

        `proposed` has rows [B, Q] of every source, `fill` has rows [B, F]; `limits` [B] is the number of candidates of each request.
        """
        widths = (*[proposed[name].shape[1] for name in self._sources], fill.shape[1])
        orders, within, sources = self._interleaving(widths)
        order = orders[scenarios]
        all_rows = np.concatenate([*[proposed[name] for name in self._sources], fill], axis=1)
        rows = all_rows[np.arange(len(scenarios))[:, None], order] * within[scenarios]
        valid = (rows > 0) & _first_of_each(rows)
        valid &= np.cumsum(valid, axis=1) <= limits[:, None]
        # Valid entries move to the front, in order; the others become 0.
        index, column = np.nonzero(valid)
        counts = valid.sum(axis=1)
        position = np.arange(len(index)) - np.repeat(np.cumsum(counts) - counts, counts)
        merged = np.zeros((2, len(rows), int(counts.max(initial=0))), np.int64)
        merged[:, index, position] = rows[index, column], sources[order[index, column]]
        return merged[0], merged[1]

    def _interleaving(self, widths: tuple[int, ...]) -> tuple[I64, Bool, I64]:
        """For each scenario, the order of columns and which of them are within its quotas; for each column, its source."""
        interleaving = self._interleavings.get(widths)
        if interleaving is None:
            positions, sources = self._positions(widths)
            order = np.argsort(positions, axis=1, kind="stable")
            interleaving = order, np.isfinite(np.take_along_axis(positions, order, 1)), sources
            self._interleavings[widths] = interleaving
        return interleaving

    def _positions(self, widths: tuple[int, ...]) -> tuple[F64, I64]:
        """For each scenario and column, the position in the interleaving (infinite beyond the quota); for each column, its source."""
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
    """[B, C]: whether an entry of `rows` [B, C] is in the same row of `among` [B, M]."""
    inside: Bool = (rows[:, :, None] == among[:, None, :]).any(axis=2)
    return inside


def _first_of_each(rows: I64) -> Bool:
    """[B, Q]: whether a value occurs for the first time in its row."""
    indices = np.arange(len(rows))[:, None]
    order = np.argsort(rows, axis=1, kind="stable")
    ordered = rows[indices, order]
    new = np.ones(rows.shape, bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.empty_like(new)
    first[indices, order] = new
    return first
