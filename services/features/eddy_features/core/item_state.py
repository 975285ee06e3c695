"""What is known of an item: decayed counts per scenario and co-visited items, by event time.

A decayed sum stated at `as_of` is sum of gain * 2^(-(as_of - at) / half-life) over all its events, in whatever order they came: an
event newer than `as_of` moves `as_of` on and decays what is there; an older one adds its gain already decayed. All arithmetic is in
the precision that is published and runs entry by entry, so a state read back goes on exactly as the one that wrote it, and it makes
no difference how entries were cut into batches. Co-visitation weights are published in single precision, in which the decay of a
second would be lost; for them time goes in steps of a 1,024th of the half-life, which states them at `as_of` to within 0.07 %.
"""

import struct
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from eddy.contract.avro.arrays import pack_array
from eddy.contract.avro.values import pack_long, pack_name
from eddy.contract.codec import Codec, frozen_header
from eddy.contract.records import ItemCounts, ItemFeatures
from eddy.contract.scenarios import CLICK, IMPRESSION, HalfLives, Scenario, Scenarios
from eddy.errors import DecodeError

MS_PER_SEC = 1000.0
STEPS_PER_HALF_LIFE = 1024
CAPACITY_STEP = 64
DEFAULT_COUNTS = HalfLives()
_HEADER = frozen_header("item_features", 2)  # the field order of `encode`
_DOUBLES = struct.Struct("<4d")
_DOUBLE = struct.Struct("<d")


def _step_ms(counts: HalfLives) -> float:
    return counts.covisit_half_life_sec * MS_PER_SEC / STEPS_PER_HALF_LIFE


DEFAULT_STEP_MS = _step_ms(DEFAULT_COUNTS)


@dataclass(frozen=True)
class ItemPolicy:
    """How co-visitation is counted and how much of it is kept.

    The k-th item before (from 1) weighs `k ** -step_power`. When more than `covisited + slack` items are known, the weakest are dropped
    down to `covisited`; the slack makes that rare.
    """

    covisited: int = 200
    slack: int = 100
    step_power: float = 0.8


class Signal(NamedTuple):
    """One event on an item: an entry of `item_signals`. `previous` are the user's items before it, newest first; `value` is None where
    it is no opinion."""

    offset: int
    at: int
    scenario: str
    action: str
    previous: list[str]
    value: float | None = None


@dataclass(slots=True)
class ScenarioCounts:
    """Decayed counts of one scenario, stated at the item's `as_of`; `total` and the opinions never decay."""

    shown: float = 0.0
    clicked: float = 0.0
    acted: float = 0.0
    acted_fast: float = 0.0
    total: int = 0
    valued: int = 0
    value_sum: float = 0.0

    def pack(self, scenario: str) -> bytes:
        """The record of these counts."""
        return (
            pack_name(scenario)
            + _DOUBLES.pack(self.shown, self.clicked, self.acted, self.acted_fast)
            + pack_long(self.total)
            + pack_long(self.valued)
            + _DOUBLE.pack(self.value_sum)
        )


class ItemRules:
    """Policy and scenario rules as an item state needs them, looked up once."""

    def __init__(self, scenarios: Scenarios, policy: ItemPolicy) -> None:
        self.policy = policy
        self._counts: dict[str, HalfLives] = {}
        self._steps_ms: dict[str, float] = {}
        self._positive: set[tuple[str, str]] = set()
        scenarios.subscribe(self._add)
        self.gains = np.arange(1, 1001, dtype=np.float32) ** np.float32(-policy.step_power)

    def _add(self, name: str, scenario: Scenario) -> None:
        self._counts[name] = scenario.counts
        self._steps_ms[name] = _step_ms(scenario.counts)
        self._positive |= {(name, action) for action, rule in scenario.actions.items() if rule.positive}

    def knows(self, scenario: str) -> bool:
        return scenario in self._counts

    def counts(self, scenario: str) -> HalfLives:
        """Half-lives of a scenario; the defaults for one that scenarios.yaml no longer has."""
        return self._counts.get(scenario, DEFAULT_COUNTS)

    def step_ms(self, scenario: str) -> float:
        """A decay step of co-visitation."""
        return self._steps_ms.get(scenario, DEFAULT_STEP_MS)

    def positive(self, scenario: str, action: str) -> bool:
        return (scenario, action) in self._positive


@dataclass(slots=True)
class ItemState:
    """The state of one item.

    `rows` numbers the co-visited items as they came; `packed` (their ids as in the record), `ties` (hashes of their ids, which break
    ties) and the columns of `weights`, float32 [2, room], are in that order. Weights are co-visitation and, within it, transitions.
    """

    applied: dict[int, int] = field(default_factory=dict)
    as_of: int = 0
    first_at: int = 0
    counts: dict[str, ScenarioCounts] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    packed: list[bytes] = field(default_factory=list)
    ties: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(CAPACITY_STEP, np.int64))
    weights: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros((2, CAPACITY_STEP), np.float32))

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
            self._add_covisits(signal, rules)
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
        for name, counts in self.counts.items():
            lives = rules.counts(name)
            slow = decay(passed, lives.slow_half_life_sec)
            counts.shown *= slow
            counts.clicked *= slow
            counts.acted *= slow
            counts.acted_fast *= decay(passed, lives.fast_half_life_sec)
        if self.rows and (steps := self._steps(self.as_of, at, rules)):
            self.weights *= step_decay(steps)
        self.as_of = at

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
        if signal.value is not None:
            counts.valued += 1
            counts.value_sum += signal.value

    def _add_covisits(self, signal: Signal, rules: ItemRules) -> None:
        known = self.rows
        new = {other: None for other in signal.previous if other not in known}
        if new:
            self._add(list(new))
        rows = [known[other] for other in signal.previous]
        steps = self._steps(signal.at, self.as_of, rules)
        gains = rules.gains[: len(rows)]
        if steps:
            gains = gains * np.float32(step_decay(steps))
        self.weights[0, rows] += gains
        self.weights[1, rows[0]] += gains[0]
        if len(known) > rules.policy.covisited + rules.policy.slack:
            self._keep(self._strongest()[: rules.policy.covisited])

    def _steps(self, start: int, end: int, rules: ItemRules) -> int:
        """Decay steps from one time to another. An item of several scenarios remembers as long as the slowest of them."""
        step = max([rules.step_ms(name) for name in self.counts])
        return int(end // step) - int(start // step)

    def _add(self, others: list[str]) -> None:
        """Give items that are not known a row each."""
        identities = [_identity(other) for other in others]
        first, last = len(self.packed), len(self.packed) + len(others)
        if last > len(self.ties):
            room = last - len(self.ties) + CAPACITY_STEP
            self.ties = np.concatenate([self.ties, np.zeros(room, np.int64)])
            self.weights = np.concatenate([self.weights, np.zeros((2, room), np.float32)], axis=1)
        self.rows.update(zip(others, range(first, last), strict=True))
        self.packed += [packed for packed, _ in identities]
        self.ties[first:last] = [tie for _, tie in identities]

    def _strongest(self) -> npt.NDArray[np.intp]:
        """Rows, strongest first; ties in an order that depends on the items alone."""
        count = len(self.rows)
        # Weights are not negative, so their bits sort as they do.
        bits = self.weights[0, :count].view(np.uint32).astype(np.int64)
        return np.argsort((bits << 32) | self.ties[:count])[::-1]

    def _keep(self, rows: npt.NDArray[np.intp]) -> None:
        chosen = rows.tolist()
        names = list(self.rows)
        self.rows = dict(zip([names[row] for row in chosen], range(len(chosen)), strict=True))
        self.packed = _picked(self.packed, chosen)
        self.ties = self.ties[rows]
        self.weights = np.ascontiguousarray(self.weights[:, rows])

    def encode(self, item_id: str) -> bytes:
        """The `item_features` record of this state, in the single-object encoding."""
        count = len(self.rows)
        order = self._strongest()
        weights = self.weights[:, order].astype("<f4", copy=False)
        return b"".join(
            [
                _HEADER,
                pack_name(item_id),
                pack_array(
                    len(self.applied),
                    b"".join([pack_name(str(partition)) + pack_long(at) for partition, at in self.applied.items()]),
                ),
                pack_long(self.as_of),
                pack_long(self.first_at),
                pack_array(len(self.counts), b"".join([row.pack(name) for name, row in self.counts.items()])),
                pack_array(count, b"".join(_picked(self.packed, order.tolist()))),
                pack_array(count, weights[0].tobytes()),
                pack_array(count, weights[1].tobytes()),
            ]
        )

    @staticmethod
    def decode(record: bytes) -> "ItemState":
        """The state that an `item_features` record states. Raises DecodeError when it is none."""
        fields = Codec.of(ItemFeatures).decode(record)
        names = fields["covisited"]
        if not len(names) == len(fields["covisit_weights"]) == len(fields["transition_weights"]):
            raise DecodeError("columns of item_features of unequal length")
        if not all(partition.isdecimal() for partition in fields["applied_offsets"]):
            raise DecodeError("applied_offsets of item_features that are of no partition")
        identities = [_identity(name) for name in names]
        return ItemState(
            applied={int(partition): offset for partition, offset in fields["applied_offsets"].items()},
            as_of=fields["as_of"],
            first_at=fields["first_at"],
            counts={row["scenario"]: _counts(row) for row in fields["counts"]},
            rows={name: row for row, name in enumerate(names)},
            packed=[packed for packed, _ in identities],
            ties=np.array([tie for _, tie in identities], np.int64),
            weights=np.array([fields["covisit_weights"], fields["transition_weights"]], np.float32),
        )


def _counts(row: ItemCounts) -> ScenarioCounts:
    return ScenarioCounts(
        row["shown"],
        row["clicked"],
        row["acted"],
        row["acted_fast"],
        row["total"],
        row["valued"],
        row["value_sum"],
    )


@lru_cache(maxsize=200_000)
def _identity(name: str) -> tuple[bytes, int]:
    """An item id as it is packed, and its hash; the same few thousand come again and again."""
    packed = pack_name(name)
    return packed, zlib.crc32(packed)


def _picked(values: list[bytes], rows: list[int]) -> list[bytes]:
    return [values[row] for row in rows]


def decay(seconds: float, half_life_sec: float) -> float:
    """What is left of 1 after `seconds`, 1 for no time or less."""
    return float(2.0 ** (-max(seconds, 0.0) / half_life_sec))


def step_decay(steps: int) -> float:
    """What is left of 1 after `steps` of a half-life's STEPS_PER_HALF_LIFE."""
    return float(2.0 ** (-steps / STEPS_PER_HALF_LIFE))
