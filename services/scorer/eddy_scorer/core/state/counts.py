"""Decayed counts of items per scenario, and the orders that follow from them: popular, trending, fresh."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from eddy.contract import records
from eddy.contract.model import MAX_SCENARIOS
from eddy.contract.scenarios import Scenario, Scenarios
from eddy_scorer.core.state.arrays import F32, F64, FIRST_CAPACITY, I64, Bool, grown, grown_rows

# Rows that each order keeps: a source looks for unseen items among these.
ORDER_LENGTH = 1000

_MS = 1000.0
_COLUMNS: tuple[Literal["shown", "clicked", "acted", "acted_fast"], ...] = ("shown", "clicked", "acted", "acted_fast")
_SHOWN, _ACTED, _ACTED_FAST = 0, 2, 3
_EVER: tuple[Literal["total", "valued", "value_sum"], ...] = ("total", "valued", "value_sum")
_TOTAL, _VALUED, _VALUE_SUM = range(3)

# Pseudo-counts of explicit ratings: few of them are drawn towards what is usual, and what is usual towards the middle.
PRIOR_VALUED = 5.0
MIDDLE = 0.5


@dataclass(frozen=True, slots=True)
class DecayedCounts:
    """Counts of candidates [B, C], decayed to each request's time."""

    shown: F32
    clicked: F32
    acted: F32
    acted_fast: F32
    total: F32
    age_days: F32


class ItemCountTable:
    """Counts [scenarios, capacity, 4] stated at `as_of` [capacity] (milliseconds of event time).

    What never decays is summed over all scenarios: actions, explicit ratings, and the sum of these (columns of `ever` [capacity, 3]).
    """

    def __init__(self, scenarios: Scenarios) -> None:
        self._scenario_ids = scenarios.ids
        self._values: F32 = np.zeros((0, FIRST_CAPACITY, len(_COLUMNS)), np.float32)
        # What came of scenarios before they were known: they are on their way.
        self._early: dict[str, dict[int, records.ItemCounts]] = {}
        self.ever: F32 = np.zeros((FIRST_CAPACITY, len(_EVER)), np.float32)
        self._ever_sum: F64 = np.zeros(len(_EVER))
        self.as_of: I64 = np.zeros(FIRST_CAPACITY, np.int64)
        self.first_at: I64 = np.zeros(FIRST_CAPACITY, np.int64)
        self.slow_ms: F64 = np.ones(MAX_SCENARIOS)
        self.fast_ms: F64 = np.ones(MAX_SCENARIOS)
        self.covisit_ms: F64 = np.ones(MAX_SCENARIOS)
        self._applied: I64 = np.full(FIRST_CAPACITY, -1, np.int64)
        self.newest = 0
        scenarios.subscribe(self._add)

    def _add(self, name: str, scenario: Scenario) -> None:
        self.slow_ms[scenario.id] = scenario.counts.slow_half_life_sec * _MS
        self.covisit_ms[scenario.id] = scenario.counts.covisit_half_life_sec * _MS
        self.fast_ms[scenario.id] = scenario.counts.fast_half_life_sec * _MS
        missing = max(0, scenario.id + 1 - len(self._values))
        self._values = np.concatenate([self._values, np.zeros((missing, *self._values.shape[1:]), np.float32)])
        for row, entry in self._early.pop(name, {}).items():
            self._values[scenario.id, row] = [entry[column] for column in _COLUMNS]
            self._set_ever(row, self.ever[row] + _ever_of(entry))

    def ensure(self, size: int) -> None:
        """Make room for `size` rows."""
        if size > len(self.as_of):
            self._values = np.ascontiguousarray(grown(self._values.transpose(0, 2, 1), size).transpose(0, 2, 1))
            self.ever = grown_rows(self.ever, size)
            self.as_of = grown(self.as_of, size)
            self.first_at = grown(self.first_at, size)
            self._applied = grown(self._applied, size, -1)

    def newer(self, row: int, record: records.ItemFeatures) -> bool:
        """Whether an `item_features` record includes what is known: of two, the later includes at least as much of each partition."""
        self.ensure(row + 1)
        return int(sum(record["applied_offsets"].values())) >= int(self._applied[row])

    def apply(self, row: int, record: records.ItemFeatures) -> list[int]:
        """Take in an `item_features` record; the scenarios it has counts in."""
        self.ensure(row + 1)
        self._applied[row] = sum(record["applied_offsets"].values())
        self.as_of[row] = record["as_of"]
        self.first_at[row] = record["first_at"]
        self.newest = max(self.newest, record["as_of"])
        counted = []
        for early in self._early.values():
            early.pop(row, None)
        for entry in record["counts"]:
            scenario = self._scenario_ids.get(entry["scenario"])
            if scenario is None:
                self._early.setdefault(entry["scenario"], {})[row] = entry
            else:
                counted.append((scenario, entry))
        self._values[:, row] = 0.0
        for scenario, entry in counted:
            self._values[scenario, row] = [entry[name] for name in _COLUMNS]
        self._set_ever(row, sum((_ever_of(entry) for _, entry in counted), np.zeros(len(_EVER), np.float32)))
        return [scenario for scenario, _ in counted]

    def _set_ever(self, row: int, values: F32) -> None:
        self._ever_sum += values.astype(np.float64) - self.ever[row]
        self.ever[row] = values

    @property
    def mean_rating(self) -> float:
        """Mean of all explicit ratings."""
        seen = self._ever_sum[_VALUED] + PRIOR_VALUED
        return float((self._ever_sum[_VALUE_SUM] + PRIOR_VALUED * MIDDLE) / seen)

    def mean_ratings(self, rows: I64, without: F32 | float = 0.0, given: F32 | float = 0.0) -> F32:
        """Mean explicit rating of each of `rows` of any shape, few of them drawn towards the usual one.

        Where `given` is 1, the rating `without`, which the counts may not have yet, is left out.
        """
        ever = self.ever[rows]
        total = np.maximum(ever[..., _VALUE_SUM] - without * given, 0) + np.float32(PRIOR_VALUED * self.mean_rating)
        return np.asarray(total / (np.maximum(ever[..., _VALUED] - given, 0) + np.float32(PRIOR_VALUED)), np.float32)

    def log_totals(self, rows: I64) -> F32:
        """log1p of the actions ever on each of `rows` of any shape."""
        return np.asarray(np.log1p(self.ever[rows, _TOTAL]), np.float32)

    def rows_in(self, scenario: int) -> list[int]:
        """The rows that have counts in a scenario."""
        return [int(row) for row in np.flatnonzero(self._values[scenario].any(axis=1))]

    def forget(self, row: int) -> None:
        """Drop all counts of a row."""
        nothing: records.ItemFeatures = {
            "item_id": "",
            "applied_offsets": {"0": -1},
            "as_of": 0,
            "first_at": 0,
            "counts": [],
            "covisited": [],
            "covisit_weights": [],
            "transition_weights": [],
        }
        self.apply(row, nothing)

    def gather(self, rows: I64, scenarios: I64, at: I64, published_at: I64) -> DecayedCounts:
        """Counts of `rows` [B, C] in `scenarios` [B] at event times `at` [B]; `published_at` [B, C] is 0 where unknown."""
        age_ms = np.maximum(at[:, None] - self.as_of[rows], 0)
        slow = np.exp2(-age_ms / self.slow_ms[scenarios][:, None]).astype(np.float32)
        fast = np.exp2(-age_ms / self.fast_ms[scenarios][:, None]).astype(np.float32)
        picked = self._values[scenarios[:, None], rows]
        born = _earliest(self.first_at[rows], published_at)
        age_days = np.where(born > 0, np.maximum(at[:, None] - born, 0) / 86_400_000.0, 0.0)
        return DecayedCounts(
            shown=picked[..., 0] * slow,
            clicked=picked[..., 1] * slow,
            acted=picked[..., 2] * slow,
            acted_fast=picked[..., 3] * fast,
            total=self.ever[rows, _TOTAL],
            age_days=age_days.astype(np.float32),
        )

    def trending(self, scenario: int, eligible: Bool) -> I64:
        """Eligible rows that were acted on, by the fast count, best first: the same order at whatever time."""
        return self._order(_ACTED_FAST, float(self.fast_ms[scenario]), scenario, eligible)

    def popular(self, scenario: int, eligible: Bool) -> I64:
        """Eligible rows by the slow count, best first, then those without counts."""
        counted = self._order(_ACTED, float(self.slow_ms[scenario]), scenario, eligible)
        if len(counted) >= ORDER_LENGTH:
            return counted
        rest = eligible.copy()
        rest[counted] = False
        return np.concatenate([counted, np.flatnonzero(rest)[: ORDER_LENGTH - len(counted)]])

    def fresh(self, eligible: Bool, published_at: I64) -> I64:
        """Eligible rows whose first action or publication is known, newest first."""
        born = _earliest(self.first_at[: len(eligible)], published_at)
        return _best(np.where(eligible & (born > 0), born.astype(np.float64), -np.inf))

    def popularity(self, size: int) -> F64:
        """Slow counts of the first `size` rows over all scenarios, decayed to the newest event."""
        decayed, values = np.zeros(size), self._values
        for scenario in range(len(values)):  # later scenarios have no counts yet
            age = (self.newest - self.as_of[:size]) / self.slow_ms[scenario]
            decayed += values[scenario, :size, _ACTED] * np.exp2(-age)
        return decayed

    def acted(self, scenario: int, rows: I64) -> F32:
        """Slow counts of rows, stated each at its own time."""
        counts: F32 = self._values[scenario, rows, _ACTED]
        return counts

    def interaction_sum(self, scenario: int, size: int) -> float:
        """Sum of the scenario's slow counts in the first `size` rows, decayed to the newest event."""
        age = (self.newest - self.as_of[:size]) / self.slow_ms[scenario]
        return float((self._values[scenario, :size, _ACTED] * np.exp2(-age)).sum())

    def _order(self, column: int, half_life_ms: float, scenario: int, eligible: Bool) -> I64:
        counts = self._values[scenario, : len(eligible), column]
        # log2 of the count at a common time, so that old counts keep their order instead of vanishing.
        with np.errstate(divide="ignore"):
            scores = np.log2(counts.astype(np.float64)) + self.as_of[: len(eligible)] / half_life_ms
        return _best(np.where(eligible & (counts > 0), scores, -np.inf))


def _ever_of(entry: records.ItemCounts) -> F32:
    return np.array([entry[name] for name in _EVER], np.float32)


def _earliest(first_at: I64, published_at: I64) -> I64:
    both = np.minimum(first_at, published_at)
    return np.where(both > 0, both, np.maximum(first_at, published_at))


def _best(scores: F64) -> I64:
    """Indices of the ORDER_LENGTH largest finite scores, largest first, ties by index."""
    if len(scores) > ORDER_LENGTH:
        top: Sequence[int] | I64 = np.sort(np.argpartition(-scores, ORDER_LENGTH)[:ORDER_LENGTH])
    else:
        top = np.arange(len(scores))
    order: I64 = np.asarray(top)[np.argsort(-scores[top], kind="stable")]
    return order[np.isfinite(scores[order])]
