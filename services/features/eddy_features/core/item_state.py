"""The state of an item: decayed counts per scenario and co-visited items, by event time.

A decayed sum as of `as_of` is the sum of gain * 2^(-(as_of - at) / half-life) over all its events, in any order: an event newer than
`as_of` advances `as_of` and decays the sum; an older one adds its gain already decayed. All arithmetic uses the published precision and
runs entry by entry, so a decoded state continues exactly like the state that was encoded, and the division into batches makes no
difference. Only what newcomers count (eddy.contract.trust) depends on who came first.

Co-visitation weights are published in single precision, which would lose the decay of a second. Their time therefore advances in steps of
1/1024 of the half-life, which is exact to within 0.07 %.
"""

import struct
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from math import log
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from eddy.contract.avro.arrays import pack_array
from eddy.contract.avro.values import pack_long, pack_name, pack_string
from eddy.contract.codec import Codec, frozen_header
from eddy.contract.records import ItemCounts, ItemFeatures
from eddy.contract.scenarios import CLICK, IMPRESSION, HalfLives, Scenario, Scenarios
from eddy.contract.trust import Counted, newcomer_share
from eddy.errors import DecodeError

MS_PER_SEC = 1000.0
HOUR_SEC = 3600.0
LN_2 = log(2)
STEPS_PER_HALF_LIFE = 1024
CAPACITY_STEP = 64
DEFAULT_HALF_LIVES = HalfLives()
# Users and ratings are whole numbers: the first few count, then those of events that are believed at least so far.
FEW, MIN_TRUST = 5, 0.5
_HEADER = frozen_header("item_features", 4)  # the field order of `encode`
_DOUBLES = struct.Struct("<4d")
_DOUBLE = struct.Struct("<d")


def _step_ms(half_lives: HalfLives) -> float:
    return half_lives.covisit_half_life_sec * MS_PER_SEC / STEPS_PER_HALF_LIFE


DEFAULT_STEP_MS = _step_ms(DEFAULT_HALF_LIVES)


@dataclass(frozen=True)
class ItemPolicy:
    """How co-visitations are weighted and how many are kept.

    The k-th previous item (from 1) weighs `k ** -step_power`. Above `covisited + slack` items, the weakest are dropped until `covisited`
    remain; the slack makes that rare. `bounded` False counts newcomers in full: to measure what the bounds cost and prevent.
    """

    covisited: int = 200
    slack: int = 100
    step_power: float = 0.8
    bounded: bool = True


class Signal(NamedTuple):
    """One event on an item: an entry of `item_signals`. `previous` are the user's earlier items, newest first; `value` is None unless it is
    an explicit rating, which replaces `former_value`. `repeats` is the decayed number of the user's earlier interactions with the item, and
    `known` how well the user was known before, in a `young` log or not (eddy.contract.trust)."""

    offset: int
    at: int
    scenario: str
    action: str
    previous: list[str]
    value: float | None = None
    repeats: float = 0.0
    former_value: float | None = None
    known: float = 1.0
    positive: bool = True
    young: bool = False

    @property
    def weight(self) -> float:
        """What the event counts: a user's n-th interaction with the item counts 1 / n, less those that have decayed."""
        return 1.0 / (1.0 + self.repeats)


@dataclass(slots=True)
class ScenarioCounts:
    """Decayed counts of one scenario, as of the item's `as_of`. `total` (users), `ratings` and `rating_sum` never decay."""

    impressions: float = 0.0
    clicks: float = 0.0
    interactions: float = 0.0
    interactions_fast: float = 0.0
    total: int = 0
    ratings: int = 0
    rating_sum: float = 0.0
    newcomers: float = 0.0  # the part of `interactions` by newcomers
    interactions_hour: float = 0.0  # as `interactions`, with a half-life of an hour
    newcomers_hour: float = 0.0

    def rate(self, value: float, former: float | None) -> None:
        """Include a rating that replaces the user's `former` one. Counts that lack that one, because the item's state was lost, add it."""
        if former is None or not self.ratings:
            self.ratings += 1
            former = 0.0
        self.rating_sum = min(max(self.rating_sum + value - former, 0.0), float(self.ratings))

    def counted(self, hours: float) -> Counted:
        """Return what bounds the next newcomer of an item that has been counting for so many hours."""
        known, known_hour = self.interactions - self.newcomers, self.interactions_hour - self.newcomers_hour
        return Counted(max(known, 0.0), self.newcomers, max(known_hour, 0.0), self.newcomers_hour, hours)

    def pack(self, scenario: str) -> bytes:
        """Pack an entry of the record's `counts`."""
        return (
            pack_name(scenario)
            + _DOUBLES.pack(self.impressions, self.clicks, self.interactions, self.interactions_fast)
            + pack_long(self.total)
            + pack_long(self.ratings)
            + _DOUBLE.pack(self.rating_sum)
            + _DOUBLE.pack(self.newcomers)
            + _DOUBLE.pack(self.interactions_hour)
            + _DOUBLE.pack(self.newcomers_hour)
        )


class ItemRules:
    """Policy and scenario rules in the form that item states need."""

    def __init__(self, scenarios: Scenarios, policy: ItemPolicy) -> None:
        self.policy = policy
        self._half_lives: dict[str, HalfLives] = {}
        self._steps_ms: dict[str, float] = {}
        self._positive: set[tuple[str, str]] = set()
        scenarios.subscribe(self._add)
        self.gains = np.arange(1, 1001, dtype=np.float32) ** np.float32(-policy.step_power)

    def _add(self, name: str, scenario: Scenario) -> None:
        self._half_lives[name] = scenario.counts
        self._steps_ms[name] = _step_ms(scenario.counts)
        self._positive |= {(name, action) for action, rule in scenario.actions.items() if rule.positive}

    def has_scenario(self, scenario: str) -> bool:
        return scenario in self._half_lives

    def half_lives(self, scenario: str) -> HalfLives:
        """Return the half-lives of a scenario, the defaults for one that was removed from scenarios.yaml."""
        return self._half_lives.get(scenario, DEFAULT_HALF_LIVES)

    def step_ms(self, scenario: str) -> float:
        """Return the length of a decay step of co-visitations in milliseconds."""
        return self._steps_ms.get(scenario, DEFAULT_STEP_MS)

    def positive(self, scenario: str, action: str) -> bool:
        return (scenario, action) in self._positive


@dataclass(slots=True)
class ItemState:
    """The state of one item.

    `rows` maps each co-visited item to its row in `packed_ids`, `tie_breakers` (hashes of the ids) and the columns of `weights`, float32
    [2, capacity]: co-visitations, and the transitions among them.
    """

    applied: dict[int, int] = field(default_factory=dict)
    as_of: int = 0
    first_at: int = 0
    counts: dict[str, ScenarioCounts] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    packed_ids: list[bytes] = field(default_factory=list)
    tie_breakers: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(CAPACITY_STEP, np.int64))
    weights: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros((2, CAPACITY_STEP), np.float32))

    def apply(self, partition: int, signal: Signal, rules: ItemRules) -> bool:
        """Include a signal of a source partition; returns False if the state already includes it."""
        if signal.offset <= self.applied.get(partition, -1):
            return False
        self._advance(signal.at, rules)
        self.applied[partition] = signal.offset
        counts = self.counts.get(signal.scenario)
        if counts is None:
            counts = self.counts[signal.scenario] = ScenarioCounts()
        trust = self._count(counts, signal, rules)
        if signal.previous:
            self._add_covisits(signal, rules, trust)
        return True

    def _advance(self, at: int, rules: ItemRules) -> None:
        """Decay the state to `at` if that is newer than `as_of`, and update `first_at`."""
        if not self.applied:
            self.as_of = self.first_at = at
            return
        self.first_at = min(self.first_at, at)
        elapsed = (at - self.as_of) / MS_PER_SEC
        if elapsed <= 0:
            return
        for name, counts in self.counts.items():
            half_lives = rules.half_lives(name)
            slow = decay(elapsed, half_lives.slow_half_life_sec)
            counts.impressions *= slow
            counts.clicks *= slow
            counts.interactions *= slow
            counts.newcomers *= slow
            counts.interactions_fast *= decay(elapsed, half_lives.fast_half_life_sec)
            hourly = decay(elapsed, HOUR_SEC)
            counts.interactions_hour *= hourly
            counts.newcomers_hour *= hourly
        if self.rows and (steps := self._steps(self.as_of, at, rules)):
            self.weights *= step_decay(steps)
        self.as_of = at

    def _count(self, counts: ScenarioCounts, signal: Signal, rules: ItemRules) -> float:
        """Include the event in the counts of its scenario; returns how far it is believed (eddy.contract.trust)."""
        age = (self.as_of - signal.at) / MS_PER_SEC
        half_lives = rules.half_lives(signal.scenario)
        gain = decay(age, half_lives.slow_half_life_sec)
        newcomer = 1.0
        if rules.policy.bounded:
            newcomer = newcomer_share(counts.counted(self._hours(half_lives)), young=signal.young)
        trust = signal.known + (1 - signal.known) * newcomer
        if signal.action == IMPRESSION:
            counts.impressions += gain * trust
        weight = signal.weight * trust
        if signal.action == CLICK:
            counts.clicks += gain * weight
        if signal.positive and rules.positive(signal.scenario, signal.action):
            unknown = signal.weight * (1 - signal.known) * newcomer
            counts.interactions += gain * weight
            counts.newcomers += gain * unknown
            # However old the event is said to be, it came now.
            counts.interactions_hour += weight
            counts.newcomers_hour += unknown
            counts.interactions_fast += decay(age, half_lives.fast_half_life_sec) * weight
            counts.total += signal.repeats == 0 and (trust > MIN_TRUST or counts.total < FEW)
        if signal.value is not None and (trust > MIN_TRUST or counts.ratings < FEW or signal.former_value is not None):
            counts.rate(signal.value, signal.former_value)
        return trust

    def _hours(self, half_lives: HalfLives) -> float:
        """Return the time that the decayed counts stand for."""
        return min((self.as_of - self.first_at) / MS_PER_SEC, half_lives.slow_half_life_sec / LN_2) / HOUR_SEC

    def _add_covisits(self, signal: Signal, rules: ItemRules, trust: float) -> None:
        new = {other: None for other in signal.previous if other not in self.rows}
        if new:
            self._add(list(new))
        rows = [self.rows[other] for other in signal.previous]
        steps = self._steps(signal.at, self.as_of, rules)
        gains = rules.gains[: len(rows)]
        if (weight := signal.weight * trust) != 1:
            gains = gains * np.float32(weight)
        if steps:
            gains = gains * np.float32(step_decay(steps))
        self.weights[0, rows] += gains
        self.weights[1, rows[0]] += gains[0]
        if len(self.rows) > rules.policy.covisited + rules.policy.slack:
            self._keep(self._strongest()[: rules.policy.covisited])

    def _steps(self, start: int, end: int, rules: ItemRules) -> int:
        """Return the number of decay steps between two times, by the longest half-life among the item's scenarios."""
        step = max([rules.step_ms(name) for name in self.counts])
        return int(end // step) - int(start // step)

    def _add(self, others: list[str]) -> None:
        """Append a row for each of these items."""
        packed_and_hashes = [_packed_and_hash(other) for other in others]
        first, last = len(self.packed_ids), len(self.packed_ids) + len(others)
        if last > len(self.tie_breakers):
            added = last - len(self.tie_breakers) + CAPACITY_STEP
            self.tie_breakers = np.concatenate([self.tie_breakers, np.zeros(added, np.int64)])
            self.weights = np.concatenate([self.weights, np.zeros((2, added), np.float32)], axis=1)
        self.rows.update(zip(others, range(first, last), strict=True))
        self.packed_ids += [packed for packed, _ in packed_and_hashes]
        self.tie_breakers[first:last] = [tie for _, tie in packed_and_hashes]

    def _strongest(self) -> npt.NDArray[np.intp]:
        """Return all rows, strongest first; the order of ties depends on the items alone."""
        count = len(self.rows)
        # Weights are not negative, so they sort like their bits.
        bits = self.weights[0, :count].view(np.uint32).astype(np.int64)
        return np.argsort((bits << 32) | self.tie_breakers[:count])[::-1]

    def _keep(self, rows: npt.NDArray[np.intp]) -> None:
        chosen = rows.tolist()
        names = list(self.rows)
        self.rows = dict(zip([names[row] for row in chosen], range(len(chosen)), strict=True))
        self.packed_ids = _select(self.packed_ids, chosen)
        self.tie_breakers = self.tie_breakers[rows]
        self.weights = np.ascontiguousarray(self.weights[:, rows])

    def encode(self, item_id: str) -> bytes:
        """Return the `item_features` record of this state in the single-object encoding."""
        count = len(self.rows)
        order = self._strongest()
        weights = self.weights[:, order].astype("<f4", copy=False)
        return b"".join(
            [
                _HEADER,
                pack_name(item_id),
                pack_array(
                    len(self.applied),
                    b"".join(
                        [pack_name(str(partition)) + pack_long(offset) for partition, offset in self.applied.items()]
                    ),
                ),
                pack_long(self.as_of),
                pack_long(self.first_at),
                pack_array(len(self.counts), b"".join([row.pack(name) for name, row in self.counts.items()])),
                pack_array(count, b"".join(_select(self.packed_ids, order.tolist()))),
                pack_array(count, weights[0].tobytes()),
                pack_array(count, weights[1].tobytes()),
            ]
        )

    @staticmethod
    def decode(record: bytes) -> "ItemState":
        """Return the state of an `item_features` record. Raises DecodeError for other bytes."""
        fields = Codec.of(ItemFeatures).decode(record)
        names = fields["covisited"]
        if not len(names) == len(fields["covisit_weights"]) == len(fields["transition_weights"]):
            raise DecodeError("item_features: covisited, covisit_weights and transition_weights have different lengths")
        if not all(partition.isdecimal() for partition in fields["applied_offsets"]):
            raise DecodeError("item_features: applied_offsets has a key that is not a partition number")
        packed_and_hashes = [_packed_and_hash(name) for name in names]
        return ItemState(
            applied={int(partition): offset for partition, offset in fields["applied_offsets"].items()},
            as_of=fields["as_of"],
            first_at=fields["first_at"],
            counts={row["scenario"]: _counts(row) for row in fields["counts"]},
            rows={name: row for row, name in enumerate(names)},
            packed_ids=[packed for packed, _ in packed_and_hashes],
            tie_breakers=np.array([tie for _, tie in packed_and_hashes], np.int64),
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
        row["newcomers"],
        row["acted_hour"],
        row["newcomers_hour"],
    )


@lru_cache(maxsize=200_000)
def _packed_and_hash(name: str) -> tuple[bytes, int]:
    """Return the packed form of an item id and its CRC-32. Cached: a few thousand items make up most calls."""
    packed = pack_string(name)
    return packed, zlib.crc32(packed)


def _select(values: list[bytes], rows: list[int]) -> list[bytes]:
    return [values[row] for row in rows]


def decay(seconds: float, half_life_sec: float) -> float:
    """Return the decay factor after `seconds`, 1 if they are not positive."""
    return float(2.0 ** (-max(seconds, 0.0) / half_life_sec))


def step_decay(steps: int) -> float:
    """Return the decay factor after `steps` of a 1 / STEPS_PER_HALF_LIFE half-life each."""
    return float(2.0 ** (-steps / STEPS_PER_HALF_LIFE))
