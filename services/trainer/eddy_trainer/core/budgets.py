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

from eddy.contract.trust import DAY_MS, HOUR_MS, MIN_RATIO, knownness, newcomer_ratio, newcomer_share

# Interactions of a scenario, taught or not, between two estimates of its ratio; the first ones are frequent, since nobody is known yet.
RATIO_INTERVAL = 500
FIRST_RATIO_INTERVAL = 50


@dataclass(frozen=True, slots=True)
class BudgetPolicy:
    """`enabled` False teaches everything (`UNBOUNDED`): to measure what the budgets cost and prevent, or to judge a model alone.

    A user teaches at most about `user_per_hour` interactions an hour. All newcomers of a scenario together teach at most
    `newcomers_per_hour`, or `growth` times what they taught in an average hour so far. Sums are halved every `memory` interactions of a
    scenario.
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


@dataclass(slots=True)
class _ScenarioSums:
    """Taught interactions by row, of known users and of newcomers."""

    known: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    newcomers: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    ratio: float = MIN_RATIO
    interactions: int = 0  # taught or not
    since_halving: int = 0
    hour: _Hour = field(default_factory=_Hour)

    def grow(self, size: int) -> None:
        if size > len(self.known):
            more = np.zeros(2 * size - len(self.known))
            self.known, self.newcomers = np.concatenate([self.known, more]), np.concatenate([self.newcomers, more])


def _age(rows: NDArray[np.int64], times: NDArray[np.int64], at: int) -> tuple[int, int]:
    """Return the number of distinct items and of days before that of `at`."""
    days = times // DAY_MS
    return len(np.unique(rows)), len(np.unique(days[days < at // DAY_MS]))


class TeachingBudgets:
    """Decides for each interaction, in order, whether it is taught."""

    def __init__(self, policy: BudgetPolicy, seed: int) -> None:
        self.policy = policy
        self._random = np.random.default_rng(seed)
        self._sums: dict[int, _ScenarioSums] = {}
        self.declined = 0  # interactions that are history alone

    def admits(self, row: int, scenario: int, at: int, rows: NDArray[np.int64], times: NDArray[np.int64]) -> bool:
        """Whether an interaction with item `row` at `at` is taught, by a user with the interactions `rows` at `times` before it."""
        if not self.policy.enabled:
            return True
        sums = self._sums.setdefault(scenario, _ScenarioSums())
        sums.grow(row + 1)
        sums.interactions += 1
        if sums.interactions % (FIRST_RATIO_INTERVAL if sums.interactions < RATIO_INTERVAL else RATIO_INTERVAL) == 0:
            sums.ratio = newcomer_ratio(sums.known, sums.newcomers)
        known = knownness(*_age(rows, times, at))
        share = 1.0 / (1 + np.count_nonzero(rows == row))
        recent = np.count_nonzero(times > at - HOUR_MS)
        share *= min(1.0, self.policy.user_per_hour / (recent + 1))
        newcomer = self._newcomer_share(sums, row, at)
        taught = bool(self._random.random() < share * (known + (1 - known) * newcomer))
        if taught:
            self._record(sums, row, known)
        else:
            self.declined += 1
        return taught

    def _newcomer_share(self, sums: _ScenarioSums, row: int, at: int) -> float:
        """Return the share of the next newcomer interaction that counts, by the budgets of the item and of the hour."""
        item = newcomer_share(float(sums.known[row]), float(sums.newcomers[row]), sums.ratio)
        hour = sums.hour
        number = at // HOUR_MS
        if number > hour.number:
            hours = min(number - hour.number, 24) if hour.number >= 0 else 0
            hour.usual = hour.usual * 0.9**hours + (0.1 * hour.taught if hours else 0.0)
            hour.number, hour.taught = number, 0.0
        limit = max(self.policy.newcomers_per_hour, self.policy.growth * hour.usual)
        return item if hour.taught < limit else 0.0

    def _record(self, sums: _ScenarioSums, row: int, known: float) -> None:
        sums.known[row] += known
        sums.newcomers[row] += 1 - known
        sums.hour.taught += 1 - known
        sums.since_halving += 1
        if sums.since_halving >= self.policy.memory:
            sums.since_halving = 0
            sums.known *= 0.5
            sums.newcomers *= 0.5

    def forget(self, rows: NDArray[np.int64]) -> None:
        """Forget what was taught about the items of `rows`."""
        for sums in self._sums.values():
            sums.known[rows[rows < len(sums.known)]] = 0
            sums.newcomers[rows[rows < len(sums.newcomers)]] = 0

    def state(self) -> dict[str, Any]:
        """Return everything that a checkpoint needs. Keys are part of the checkpoint format."""
        return {
            "random": self._random.bit_generator.state,
            "declined": self.declined,
            "scenarios": {
                scenario: {
                    "known": sums.known,
                    "newcomers": sums.newcomers,
                    "ratio": sums.ratio,
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
        self._sums = {
            scenario: _ScenarioSums(
                torch.as_tensor(sums["known"]).numpy().copy(),
                torch.as_tensor(sums["newcomers"]).numpy().copy(),
                sums["ratio"],
                interactions=sums["since"][0],
                since_halving=sums["since"][1],
                hour=_Hour(*sums["hour"]),
            )
            for scenario, sums in state["scenarios"].items()
        }
