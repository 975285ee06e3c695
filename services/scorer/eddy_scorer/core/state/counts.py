"""Decayed counts of items per scenario, and the orders computed from them: popular, trending, fresh."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from eddy.contract import records
from eddy.contract.model import MAX_SCENARIOS
from eddy.contract.scenarios import Scenario, Scenarios
from eddy_scorer.core.state.arrays import F32, F64, FIRST_CAPACITY, I64, Bool, grown, grown_rows

# Length of each order. Sources search it for items that the user has not seen.
ORDER_LENGTH = 1000

_MS = 1000.0
_COLUMNS: tuple[Literal["shown", "clicked", "acted", "acted_fast"], ...] = ("shown", "clicked", "acted", "acted_fast")
_IMPRESSIONS, _CLICKS, _INTERACTIONS, _RECENT = range(4)
_TOTAL_COLUMNS: tuple[Literal["total", "valued", "value_sum"], ...] = ("total", "valued", "value_sum")
_TOTAL, _VALUED, _VALUE_SUM = range(3)

# Pseudo-counts: an item's mean rating is shrunk towards the overall mean, and the overall mean towards PRIOR_RATING.
PRIOR_RATING_COUNT = 5.0
PRIOR_RATING = 0.5


@dataclass(frozen=True, slots=True)
class DecayedCounts:
    """Counts of candidates [B, C], decayed to the time of each request; `total` does not decay."""

    impressions: F32
    clicks: F32
    interactions: F32
    recent_interactions: F32
    total: F32
    age_days: F32


class ItemCountTable:
    """Counts [scenarios, capacity, 4] as of `as_of` [capacity] (milliseconds of event time).

    `totals` [capacity, 3] never decay and sum all scenarios: interactions, explicit ratings, and the sum of the ratings.
    """

    def __init__(self, scenarios: Scenarios) -> None:
        self._scenario_ids = scenarios.ids
        self._values: F32 = np.zeros((0, FIRST_CAPACITY, len(_COLUMNS)), np.float32)
        # Counts by scenario name and row for scenarios that are not loaded yet.
        self._pending_counts: dict[str, dict[int, records.ItemCounts]] = {}
        self.totals: F32 = np.zeros((FIRST_CAPACITY, len(_TOTAL_COLUMNS)), np.float32)
        self._totals_sum: F64 = np.zeros(len(_TOTAL_COLUMNS))
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
        for row, entry in self._pending_counts.pop(name, {}).items():
            self._values[scenario.id, row] = _values_of(entry)
            self._set_totals(row, self.totals[row] + _totals_of(entry))

    def ensure(self, size: int) -> None:
        """Make room for `size` rows."""
        if size > len(self.as_of):
            self._values = np.ascontiguousarray(grown(self._values.transpose(0, 2, 1), size).transpose(0, 2, 1))
            self.totals = grown_rows(self.totals, size)
            self.as_of = grown(self.as_of, size)
            self.first_at = grown(self.first_at, size)
            self._applied = grown(self._applied, size, -1)

    def is_current(self, row: int, record: records.ItemFeatures) -> bool:
        """Whether a record is as new as the applied one: a later record includes at least as many events of each partition."""
        self.ensure(row + 1)
        return int(sum(record["applied_offsets"].values())) >= int(self._applied[row])

    def apply(self, row: int, record: records.ItemFeatures) -> list[int]:
        """Apply an `item_features` record and return the scenarios it has counts in."""
        self.ensure(row + 1)
        self._applied[row] = sum(record["applied_offsets"].values())
        self.as_of[row] = record["as_of"]
        self.first_at[row] = record["first_at"]
        self.newest = max(self.newest, record["as_of"])
        counted = []
        for pending in self._pending_counts.values():
            pending.pop(row, None)
        for entry in record["counts"]:
            scenario = self._scenario_ids.get(entry["scenario"])
            if scenario is None:
                self._pending_counts.setdefault(entry["scenario"], {})[row] = entry
            else:
                counted.append((scenario, entry))
        self._values[:, row] = 0.0
        for scenario, entry in counted:
            self._values[scenario, row] = _values_of(entry)
        self._set_totals(
            row, sum((_totals_of(entry) for _, entry in counted), np.zeros(len(_TOTAL_COLUMNS), np.float32))
        )
        return [scenario for scenario, _ in counted]

    def _set_totals(self, row: int, values: F32) -> None:
        self._totals_sum += values.astype(np.float64) - self.totals[row]
        self.totals[row] = values

    @property
    def mean_rating(self) -> float:
        """Mean of all explicit ratings."""
        number = self._totals_sum[_VALUED] + PRIOR_RATING_COUNT
        return float((self._totals_sum[_VALUE_SUM] + PRIOR_RATING_COUNT * PRIOR_RATING) / number)

    def mean_ratings(self, rows: I64, without: F32 | float = 0.0, mask: F32 | float = 0.0) -> F32:
        """Mean explicit rating of each of `rows` (any shape), shrunk towards the overall mean.

        Where `mask` is 1, the rating `without` is excluded from the mean, even if the counts do not include it yet.
        """
        totals = self.totals[rows]
        total = np.maximum(totals[..., _VALUE_SUM] - without * mask, 0) + np.float32(
            PRIOR_RATING_COUNT * self.mean_rating
        )
        return np.asarray(
            total / (np.maximum(totals[..., _VALUED] - mask, 0) + np.float32(PRIOR_RATING_COUNT)), np.float32
        )

    def log_totals(self, rows: I64) -> F32:
        """log1p of all interactions with each of `rows` (any shape)."""
        return np.asarray(np.log1p(self.totals[rows, _TOTAL]), np.float32)

    def rows_in(self, scenario: int) -> list[int]:
        """Rows with counts in a scenario."""
        return [int(row) for row in np.flatnonzero(self._values[scenario].any(axis=1))]

    def forget(self, row: int) -> None:
        """Drop all counts of a row."""
        empty: records.ItemFeatures = {
            "item_id": "",
            "applied_offsets": {"0": -1},
            "as_of": 0,
            "first_at": 0,
            "counts": [],
            "covisited": [],
            "covisit_weights": [],
            "transition_weights": [],
        }
        self.apply(row, empty)

    def without_record(self, size: int) -> Bool:
        """[size]: whether no `item_features` record of the row is applied."""
        self.ensure(size)
        return np.asarray(self._applied[:size] < 0)

    def gather(self, rows: I64, scenarios: I64, at: I64, born_at: I64) -> DecayedCounts:
        """Counts of `rows` [B, C] in `scenarios` [B] at event times `at` [B]; `born_at` [B, C] is 0 if unknown."""
        age_ms = np.maximum(at[:, None] - self.as_of[rows], 0)
        slow = np.exp2(-age_ms / self.slow_ms[scenarios][:, None]).astype(np.float32)
        fast = np.exp2(-age_ms / self.fast_ms[scenarios][:, None]).astype(np.float32)
        values = self._values[scenarios[:, None], rows]
        age_days = np.where(born_at > 0, np.maximum(at[:, None] - born_at, 0) / 86_400_000.0, 0.0)
        return DecayedCounts(
            impressions=values[..., _IMPRESSIONS] * slow,
            clicks=values[..., _CLICKS] * slow,
            interactions=values[..., _INTERACTIONS] * slow,
            recent_interactions=values[..., _RECENT] * fast,
            total=self.totals[rows, _TOTAL],
            age_days=age_days.astype(np.float32),
        )

    def trending(self, scenario: int, eligible: Bool) -> I64:
        """Eligible rows with interactions, by the fast count, best first. The order does not depend on the time."""
        return self._order(_RECENT, float(self.fast_ms[scenario]), scenario, eligible)

    def popular(self, scenario: int, eligible: Bool) -> I64:
        """Eligible rows by the slow count, best first, then rows without counts."""
        counted = self._order(_INTERACTIONS, float(self.slow_ms[scenario]), scenario, eligible)
        if len(counted) >= ORDER_LENGTH:
            return counted
        rest = eligible.copy()
        rest[counted] = False
        return np.concatenate([counted, np.flatnonzero(rest)[: ORDER_LENGTH - len(counted)]])

    def fresh(self, eligible: Bool, born_at: I64, published_at: I64) -> I64:
        """Eligible rows that became available at a known time, newest first. Before them, those that are published after the newest event,
        soonest last: they must not take the positions of the others until their time."""
        known, born = eligible & (born_at > 0), born_at.astype(np.float64)
        future = known & (published_at > self.newest) if self.newest else np.zeros(len(known), bool)
        newest = _best(np.where(known & ~future, born, -np.inf))
        return np.concatenate([_best(np.where(future, -born, -np.inf))[::-1], newest]) if future.any() else newest

    def popularity(self, size: int) -> F64:
        """Slow counts of the first `size` rows over all scenarios, decayed to the newest event."""
        decayed, values = np.zeros(size), self._values
        for scenario in range(len(values)):  # later scenarios have no counts yet
            age = (self.newest - self.as_of[:size]) / self.slow_ms[scenario]
            decayed += values[scenario, :size, _INTERACTIONS] * np.exp2(-age)
        return decayed

    def interactions(self, scenario: int, rows: I64) -> F32:
        """Slow counts of rows, each as of its own time."""
        counts: F32 = self._values[scenario, rows, _INTERACTIONS]
        return counts

    def interaction_sum(self, scenario: int, size: int) -> float:
        """Sum of the scenario's slow counts in the first `size` rows, decayed to the newest event."""
        age = (self.newest - self.as_of[:size]) / self.slow_ms[scenario]
        return float((self._values[scenario, :size, _INTERACTIONS] * np.exp2(-age)).sum())

    def _order(self, column: int, half_life_ms: float, scenario: int, eligible: Bool) -> I64:
        counts = self._values[scenario, : len(eligible), column]
        # log2 of the count at a common time, so that old counts keep their order instead of underflowing.
        with np.errstate(divide="ignore"):
            scores = np.log2(counts.astype(np.float64)) + self.as_of[: len(eligible)] / half_life_ms
        return _best(np.where(eligible & (counts > 0), scores, -np.inf))


def _values_of(entry: records.ItemCounts) -> list[float]:
    return [entry[name] for name in _COLUMNS]


def _totals_of(entry: records.ItemCounts) -> F32:
    return np.array([entry[name] for name in _TOTAL_COLUMNS], np.float32)


def _best(scores: F64) -> I64:
    """Indices of the ORDER_LENGTH largest finite scores, largest first, ties by index."""
    if len(scores) > ORDER_LENGTH:
        top: Sequence[int] | I64 = np.sort(np.argpartition(-scores, ORDER_LENGTH)[:ORDER_LENGTH])
    else:
        top = np.arange(len(scores))
    order: I64 = np.asarray(top)[np.argsort(-scores[top], kind="stable")]
    return order[np.isfinite(scores[order])]
