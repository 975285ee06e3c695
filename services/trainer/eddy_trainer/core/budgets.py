"""Budgets of training: which interactions are taught, and which are history alone (eddy.contract.trust).

An interaction of a known user is taught. One of a newcomer is taught as long as newcomers say no more about its item than known users
confirm; one that repeats its user's earlier interaction with the item only sometimes; and both only within the hour's budgets of the user
and of the scenario. In between the choice is random in proportion: a budget bounds weights, but an example is taught whole or not at all.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eddy.contract.trust import (
    HOUR_MS,
    MIN_RATIO,
    Counted,
    LogAge,
    age_start,
    knownness,
    newcomer_ratio,
    newcomer_share,
    usual_newcomers,
)
from eddy_trainer.core.sequences import Past

# Interactions of a scenario, taught or not, between two estimates of its ratio; the first ones are frequent, since nobody is known yet.
RATIO_INTERVAL = 500
FIRST_RATIO_INTERVAL = 50
# Time after which the sums of the hour decay.
DECAY_MS = HOUR_MS // 12


@dataclass(frozen=True, slots=True)
class BudgetPolicy:
    """`enabled` False teaches everything (`UNBOUNDED`): to measure what the budgets cost and prevent, or to judge a model alone.

    A user teaches at most about `user_per_hour` interactions an hour. All newcomers of a scenario together teach at most
    `newcomers_per_hour`, or `growth` times what they taught in an average hour so far. Sums are halved every `memory` interactions of a
    scenario, those of the hour every hour.
    """

    enabled: bool = True
    user_per_hour: int = 200
    newcomers_per_hour: int = 1000
    growth: float = 3.0
    memory: int = 200_000


UNBOUNDED = BudgetPolicy(enabled=False)


@dataclass(slots=True)
class _Hour:
    number: int = -1
    taught: float = 0.0
    usual: float = 0.0  # average of the hours before, decayed


_KNOWN, _NEWCOMERS, _KNOWN_HOUR, _NEWCOMERS_HOUR = range(4)
_HOUR_SUMS = slice(_KNOWN_HOUR, None)


@dataclass(slots=True)
class _ScenarioSums:
    """Taught interactions `by_row` [4, rows]: of known users and of newcomers, in all and in the last hour; the
    `first` hour of each row."""

    by_row: NDArray[np.float64] = field(default_factory=lambda: np.zeros((4, 0)))
    first: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    ratio: float = MIN_RATIO
    usual_hour: float = 0.0
    decayed_at: int = 0
    interactions: int = 0  # taught or not
    since_halving: int = 0
    hour: _Hour = field(default_factory=_Hour)

    def grow(self, size: int) -> None:
        missing = 2 * size - len(self.first)
        if size > len(self.first):
            self.by_row = np.concatenate([self.by_row, np.zeros((4, missing))], axis=1)
            self.first = np.concatenate([self.first, np.zeros(missing)])

    def decay(self, clock: int) -> None:
        """Halve the sums of the hour for each hour that has passed."""
        elapsed = clock - self.decayed_at
        if elapsed >= DECAY_MS:
            self.by_row[_HOUR_SUMS] *= 0.5 ** min(elapsed / HOUR_MS, 60.0)
            self.decayed_at = clock

    def estimate(self) -> None:
        """Estimate what newcomers of the usual item count."""
        self.ratio = newcomer_ratio(self.by_row[_KNOWN], self.by_row[_NEWCOMERS])
        self.usual_hour = usual_newcomers(self.by_row[_NEWCOMERS_HOUR])

    def counted(self, row: int, clock: int) -> Counted:
        """Return what has counted for a row until `clock`, which is its first hour if it has none."""
        self.first[row] = self.first[row] or clock / HOUR_MS
        known, newcomers, known_hour, newcomers_hour = self.by_row[:, row].tolist()
        return Counted(known, newcomers, known_hour, newcomers_hour, clock / HOUR_MS - float(self.first[row]))

    def forget(self, rows: NDArray[np.int64]) -> None:
        rows = rows[rows < len(self.first)]
        self.by_row[:, rows] = 0
        self.first[rows] = 0


class TeachingBudgets:
    """Decides for each interaction, in order, whether it is taught."""

    def __init__(self, policy: BudgetPolicy, seed: int) -> None:
        self.policy = policy
        self._random = np.random.default_rng(seed)
        self._sums: dict[int, _ScenarioSums] = {}
        self.log = LogAge()
        self.declined = 0  # interactions that are history alone

    def age_start(self, at: int) -> int:
        """Advance the clock to an event at `at`; return the time from which the age of its user counts if it is the first one."""
        self.log.advance(at)
        start = age_start(at, self.log.clock)
        self.log.include(start)
        return start

    def admits(self, row: int, scenario: int, at: int, past: Past) -> bool:
        """Whether an interaction with item `row` at `at` is taught, by a user with this past."""
        self.log.advance(at)
        if not self.policy.enabled:
            return True
        sums = self._sums.setdefault(scenario, _ScenarioSums())
        sums.grow(row + 1)
        sums.decay(self.log.clock)
        sums.interactions += 1
        if sums.interactions % (FIRST_RATIO_INTERVAL if sums.interactions < RATIO_INTERVAL else RATIO_INTERVAL) == 0:
            sums.estimate()
        age_ms = self.log.clock - int(past.age_starts.min(initial=self.log.clock))
        known = knownness(len(np.unique(past.rows)), age_ms, self.log.young)
        share = 1.0 / (1 + np.count_nonzero(past.rows == row))
        recent = np.count_nonzero(past.times > at - HOUR_MS)
        share *= min(1.0, self.policy.user_per_hour / (recent + 1))
        newcomer = self._newcomer_share(sums, row)
        taught = bool(self._random.random() < share * (known + (1 - known) * newcomer))
        if taught:
            self._record(sums, row, known)
        else:
            self.declined += 1
        return taught

    def _newcomer_share(self, sums: _ScenarioSums, row: int) -> float:
        """Return the share of the next newcomer interaction that counts, by the budgets of the item and of the hour."""
        item = newcomer_share(sums.counted(row, self.log.clock), sums.ratio, self.log.young, sums.usual_hour)
        hour = sums.hour
        number = self.log.clock // HOUR_MS
        if number > hour.number:
            hours = min(number - hour.number, 24) if hour.number >= 0 else 0
            hour.usual = hour.usual * 0.9**hours + (0.1 * hour.taught if hours else 0.0)
            hour.number, hour.taught = number, 0.0
        limit = max(self.policy.newcomers_per_hour, self.policy.growth * hour.usual)
        return item if hour.taught < limit else 0.0

    def _record(self, sums: _ScenarioSums, row: int, known: float) -> None:
        sums.by_row[:, row] += (known, 1 - known, known, 1 - known)
        sums.hour.taught += 1 - known
        sums.since_halving += 1
        if sums.since_halving >= self.policy.memory:
            sums.since_halving = 0
            sums.by_row *= 0.5

    def forget(self, rows: NDArray[np.int64]) -> None:
        """Forget what was taught about the items of `rows`."""
        for sums in self._sums.values():
            sums.forget(rows)

    def state(self) -> dict[str, Any]:
        """Return everything that a checkpoint needs. Keys are part of the checkpoint format."""
        return {
            "random": self._random.bit_generator.state,
            "declined": self.declined,
            "log": [self.log.clock, self.log.start],
            "scenarios": {
                scenario: {
                    "by_row": sums.by_row,
                    "first": sums.first,
                    "usual": [sums.ratio, sums.usual_hour],
                    "decayed_at": sums.decayed_at,
                    "since": [sums.interactions, sums.since_halving],
                    "hour": [sums.hour.number, sums.hour.taught, sums.hour.usual],
                }
                for scenario, sums in self._sums.items()
            },
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore from the result of `state`."""
        self._random.bit_generator.state = state["random"]
        self.declined = state["declined"]
        self.log = LogAge(*state.get("log", ()))
        self._sums = {
            scenario: _ScenarioSums(
                torch.as_tensor(sums["by_row"]).numpy().copy(),
                torch.as_tensor(sums["first"]).numpy().copy(),
                ratio=sums["usual"][0],
                usual_hour=sums["usual"][1],
                decayed_at=sums["decayed_at"],
                interactions=sums["since"][0],
                since_halving=sums["since"][1],
                hour=_Hour(*sums["hour"]),
            )
            for scenario, sums in state["scenarios"].items()
            if "by_row" in sums  # absent in checkpoints from before the bounds by hour
        }
