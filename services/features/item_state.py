"""What is known of an item: decayed counts per scenario and co-visited items, by event time.

A decayed sum stated at `as_of` is sum of gain * 2^(-(as_of - at) / half-life) over all its events, in whatever order they came: an
event newer than `as_of` moves `as_of` on and decays what is there; an older one adds its gain already decayed. All arithmetic is in
the precision that is published and runs entry by entry, so a state read back goes on exactly as the one that wrote it, and it makes
no difference how entries were cut into batches. Co-visitation weights are published in single precision, in which the decay of a
second would be lost; for them time goes in steps of a 1,024th of the half-life, which states them at `as_of` to within 0.07 %.
"""

import zlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from shared.scenarios import CLICK, IMPRESSION, Counts, Scenarios

MS_PER_SEC = 1000.0
STEPS_PER_HALF_LIFE = 1024


@dataclass(frozen=True)
class ItemPolicy:
    """How co-visitation is counted and how much of it is kept.

    When more than `covisited + slack` items are known, the weakest are dropped down to `covisited`; the slack makes that rare.
    """

    covisited: int = 200
    slack: int = 50
    step_weight: float = 0.9


class Signal(NamedTuple):
    """One event on an item: an entry of `item_signals`. `previous` are the user's items before it, newest first."""

    offset: int
    at: int
    scenario: str
    action: str
    previous: list[str]


@dataclass(slots=True)
class ScenarioCounts:
    """Decayed counts of one scenario, stated at the item's `as_of`; `total` never decays."""

    shown: float = 0.0
    clicked: float = 0.0
    acted: float = 0.0
    acted_fast: float = 0.0
    total: int = 0


class ItemRules:
    """Policy and scenario rules as an item state needs them, looked up once."""

    def __init__(self, scenarios: Scenarios, policy: ItemPolicy) -> None:
        self.policy = policy
        self._counts = {name: scenario.counts for name, scenario in scenarios.scenarios.items()}
        self._positive = {
            (name, action)
            for name, scenario in scenarios.scenarios.items()
            for action, rule in scenario.actions.items()
            if rule.positive
        }
        self.gains = np.array([policy.step_weight**step for step in range(1000)], np.float32)

    def knows(self, scenario: str) -> bool:
        return scenario in self._counts

    def counts(self, scenario: str) -> Counts:
        """Half-lives of a scenario; the defaults for one that scenarios.yaml no longer has."""
        return self._counts.get(scenario) or Counts()

    def positive(self, scenario: str, action: str) -> bool:
        return (scenario, action) in self._positive


@dataclass(slots=True)
class ItemState:
    """The state of one item. `weights` is float32 [2, len(covisited)]: co-visitation and, within it, transitions."""

    applied: dict[int, int] = field(default_factory=dict)
    as_of: int = 0
    first_at: int = 0
    counts: dict[str, ScenarioCounts] = field(default_factory=dict)
    covisited: list[str] = field(default_factory=list)
    index: dict[str, int] = field(default_factory=dict)
    weights: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros((2, 0), np.float32))

    def apply(self, partition: int, signal: Signal, rules: ItemRules) -> bool:
        """Include a signal of a source partition; False when the state has it already."""
        if signal.offset <= self.applied.get(partition, -1):
            return False
        self._advance(signal.at, rules)
        self.applied[partition] = signal.offset
        counts = self.counts.get(signal.scenario)
        if counts is None:
            counts = self.counts[signal.scenario] = ScenarioCounts()
        self._count(counts, signal, rules)
        if signal.previous:
            self._covisit(signal, rules)
        return True

    def _advance(self, at: int, rules: ItemRules) -> None:
        """Make `at` part of the time that the state spans."""
        if not self.applied:
            self.as_of = self.first_at = at
            return
        self.first_at = min(self.first_at, at)
        passed = (at - self.as_of) / MS_PER_SEC
        if passed <= 0:
            return
        if self.covisited and (steps := self._steps(self.as_of, at, rules)):
            self.weights *= step_decay(steps)
        self.as_of = at
        for name, counts in self.counts.items():
            lives = rules.counts(name)
            slow = decay(passed, lives.slow_half_life_sec)
            counts.shown *= slow
            counts.clicked *= slow
            counts.acted *= slow
            counts.acted_fast *= decay(passed, lives.fast_half_life_sec)

    def _count(self, counts: ScenarioCounts, signal: Signal, rules: ItemRules) -> None:
        late = (self.as_of - signal.at) / MS_PER_SEC
        lives = rules.counts(signal.scenario)
        gain = decay(late, lives.slow_half_life_sec)
        if signal.action == IMPRESSION:
            counts.shown += gain
        if signal.action == CLICK:
            counts.clicked += gain
        if rules.positive(signal.scenario, signal.action):
            counts.acted += gain
            counts.acted_fast += decay(late, lives.fast_half_life_sec)
            counts.total += 1

    def _covisit(self, signal: Signal, rules: ItemRules) -> None:
        rows = self._rows(signal.previous)
        factor = np.float32(step_decay(self._steps(signal.at, self.as_of, rules)))
        self.weights[0, rows] += rules.gains[: len(rows)] * factor
        self.weights[1, rows[0]] += factor
        if len(self.covisited) > rules.policy.covisited + rules.policy.slack:
            self._keep(self._strongest()[: rules.policy.covisited])

    def _steps(self, start: int, end: int, rules: ItemRules) -> int:
        """Decay steps from one time to another. An item of several scenarios remembers as long as the slowest of them."""
        half_life_sec = max(rules.counts(name).covisit_half_life_sec for name in self.counts)
        step = half_life_sec * MS_PER_SEC / STEPS_PER_HALF_LIFE
        return int(end // step) - int(start // step)

    def _rows(self, others: list[str]) -> list[int]:
        index = self.index
        new = [other for other in others if other not in index]
        if new:
            for other in new:
                index[other] = len(index)
            self.covisited += new
            self.weights = np.concatenate([self.weights, np.zeros((2, len(new)), np.float32)], axis=1)
        return [index[other] for other in others]

    def _strongest(self) -> list[int]:
        """Rows, strongest first; ties in an order that depends on the items alone."""
        ties = np.array([zlib.crc32(other.encode()) for other in self.covisited], np.uint32)
        order: list[int] = np.lexsort((ties, -self.weights[0])).tolist()
        return order

    def _keep(self, rows: list[int]) -> None:
        self.covisited = [self.covisited[row] for row in rows]
        self.index = {other: row for row, other in enumerate(self.covisited)}
        self.weights = np.ascontiguousarray(self.weights[:, rows])

    def record(self, item_id: str) -> dict[str, Any]:
        """The `item_features` record of this state."""
        if self.covisited:
            self._keep(self._strongest())
        return {
            "item_id": item_id,
            "applied_offsets": {str(partition): offset for partition, offset in self.applied.items()},
            "as_of": self.as_of,
            "first_at": self.first_at,
            "counts": [
                {
                    "scenario": name,
                    "shown": counts.shown,
                    "clicked": counts.clicked,
                    "acted": counts.acted,
                    "acted_fast": counts.acted_fast,
                    "total": counts.total,
                }
                for name, counts in self.counts.items()
            ],
            "covisited": self.covisited,
            "covisit_weights": self.weights[0].tolist(),
            "transition_weights": self.weights[1].tolist(),
        }

    @staticmethod
    def of(record: dict[str, Any]) -> "ItemState":
        """The state that an `item_features` record states."""
        counts = {row.pop("scenario"): ScenarioCounts(**row) for row in record["counts"]}
        return ItemState(
            applied={int(partition): offset for partition, offset in record["applied_offsets"].items()},
            as_of=record["as_of"],
            first_at=record["first_at"],
            counts=counts,
            covisited=record["covisited"],
            index={other: row for row, other in enumerate(record["covisited"])},
            weights=np.array([record["covisit_weights"], record["transition_weights"]], np.float32),
        )


def decay(seconds: float, half_life_sec: float) -> float:
    """What is left of 1 after `seconds`, 1 for no time or less."""
    return float(2.0 ** (-max(seconds, 0.0) / half_life_sec))


def step_decay(steps: int) -> float:
    """What is left of 1 after `steps` of a half-life's STEPS_PER_HALF_LIFE."""
    return float(2.0 ** (-steps / STEPS_PER_HALF_LIFE))
