"""`training_example` records as checked values. What cannot be learned from is refused with its reason, never guessed at."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eddy.contract.actions import ACTION_ALIASES
from eddy.contract.columns import ABSENT, column_map, take_columns
from eddy.contract.features import FEATURE_ALIASES
from eddy.contract.legacy import LEGACY_FEATURES
from eddy.contract.model import Columns, is_compatible
from eddy.contract.records import History, TrainingExample
from eddy.contract.scenarios import Scenarios
from eddy.errors import PoisonError

Features = NDArray[np.float16]
FeatureField = Literal["features", "considered_features"]


@dataclass(frozen=True, slots=True)
class PastInteraction:
    """One interaction of a history snapshot: `action` is 1 + index into the model's actions, 0 for one without a head."""

    item_id: str
    action: int
    scenario: int
    value: float
    at: int


class Timestamps(NamedTuple):
    """When Kafka took the action in (0 where there is none), and when the example was written: wall clock, milliseconds."""

    acted_at: int
    labelled_at: int


NO_TIMESTAMPS = Timestamps(0, 0)


@dataclass(frozen=True, slots=True)
class NextItemExample:
    """A positive event as the next item of its user's sequence.

    `target` is its place among the considered candidates, -1 when not there. `superseded` says that these were not the candidates
    of the moment: the user had a newer list.
    """

    user_id: str
    event: PastInteraction
    history: Iterable[PastInteraction]
    features: Features  # [C, FEATURES] of the considered candidates
    target: int
    superseded: bool = False
    timestamps: Timestamps = NO_TIMESTAMPS
    kind: str = "next_item"


@dataclass(frozen=True, slots=True)
class ImpressionExample:
    """Shown items with their labels; `actions` are indices into the model's actions, -1 for a negative."""

    kind: str
    scenario: int
    features: Features  # [n, FEATURES]
    positions: tuple[int, ...]
    actions: tuple[int, ...]
    timestamps: Timestamps = NO_TIMESTAMPS


Example = NextItemExample | ImpressionExample


class HistorySnapshot:
    """A history snapshot, spelt out only when somebody looks: most users are known already. Raises PoisonError for unequal columns."""

    def __init__(self, history: History, scenario_ids: Mapping[str, int], actions: Mapping[str, int]) -> None:
        self._columns = (
            history["item_ids"],
            history["actions"],
            history["scenarios"],
            history["values"],
            history["occurred_at"],
        )
        self._scenario_ids = scenario_ids
        self._actions = actions
        if len({len(column) for column in self._columns}) > 1:
            raise PoisonError("undecodable", "history columns of unequal length")
        _finite(sum(history["values"]))  # refused now, not when somebody looks

    def __iter__(self) -> Iterator[PastInteraction]:
        for item, action, scenario, value, at in zip(*self._columns, strict=True):
            known = self._scenario_ids.get(scenario)
            if item and known is not None:  # a scenario may be gone since
                yield PastInteraction(item, 1 + self._actions.get(action, -1), known, _finite(value), at)


class ExampleParser:
    """Checks records against scenarios and reads features and actions into the columns of the model. Raises PoisonError.

    Names decide, present or former ones. A feature that the model does not have is passed over, one that the record does not have is
    missing: not a number in the matrix. In what was logged there must be none. An action that the model has no head for is history
    without one, and no label: its item is left out of the example.
    """

    def __init__(self, scenarios: Scenarios, columns: Columns) -> None:
        self._scenario_ids = scenarios.ids
        self._wanted = columns.features
        self._column_maps: dict[tuple[str, ...], tuple[int, ...]] = {}
        now = {name: index for index, name in enumerate(columns.actions)}
        former = {alias: now[name] for alias, name in ACTION_ALIASES.items() if name in now}
        self._actions = former | now

    def parse(self, record: TrainingExample) -> Example:
        if not record["user_id"]:
            raise PoisonError("missing_user")
        if not record["items"] or not all(item["item_id"] for item in record["items"]):
            raise PoisonError("missing_item")
        scenario = self._scenario_ids.get(record["scenario"])
        if scenario is None:
            raise PoisonError("unknown_scenario", record["scenario"])
        if record["kind"] == "next_item":
            return self._next_item(record, scenario)
        if record["kind"] in ("label", "upgrade"):
            return self._shown(record, scenario)
        raise PoisonError("undecodable", f"unknown kind {record['kind']!r}")

    def _next_item(self, record: TrainingExample, scenario: int) -> NextItemExample:
        item = record["items"][0]
        considered = record["considered"]
        features = self._features(record, "considered_features", len(considered))
        target = considered.index(item["item_id"]) if item["item_id"] in considered else -1
        action = 1 + self._actions.get(item["action"], -1)
        event = PastInteraction(item["item_id"], action, scenario, _finite(item["value"]), record["occurred_at"])
        history = (
            () if record["history"] is None else HistorySnapshot(record["history"], self._scenario_ids, self._actions)
        )
        return NextItemExample(
            record["user_id"], event, history, features, target, record["superseded"], _timestamps(record)
        )

    def _shown(self, record: TrainingExample, scenario: int) -> ImpressionExample:
        items, features = record["items"], self._features(record, "features", len(record["items"]))
        kept = [row for row, item in enumerate(items) if not item["label"] or item["action"] in self._actions]
        if len(kept) < len(items):
            items, features = [items[row] for row in kept], features[kept] if len(features) else features
        return ImpressionExample(
            record["kind"],
            scenario,
            features,
            tuple(item["position"] for item in items),
            tuple(self._actions[item["action"]] if item["label"] else -1 for item in items),
            _timestamps(record),
        )

    def _features(self, record: TrainingExample, field: FeatureField, rows: int) -> Features:
        """The packed matrix [rows, features of the model], or [0, ...] where none are known."""
        packed, names = record[field], tuple(record["feature_names"]) or LEGACY_FEATURES
        if not packed or not self._says_columns(record):
            return np.zeros((0, len(self._wanted)), np.float16)
        if len(packed) != rows * len(names) * 2:
            raise PoisonError("bad_features", f"{len(packed)} bytes of {len(names)} features for {rows} items")
        logged = np.frombuffer(packed, "<f2").reshape(rows, len(names))
        columns = self._columns_of(names)
        if not np.isfinite(logged[:, [column for column in columns if column != ABSENT]]).all():
            raise PoisonError("non_finite", field)
        return take_columns(logged, columns)

    def _says_columns(self, record: TrainingExample) -> bool:
        """Whether it is known which feature is where. Where it is not, a label is of no use, and a next item is one without features."""
        if record["feature_names"] or is_compatible(record["contract"]):
            return True
        if record["kind"] == "next_item":
            return False
        raise PoisonError("contract_mismatch", f"unnamed features of contract {record['contract']!r}")

    def _columns_of(self, names: tuple[str, ...]) -> tuple[int, ...]:
        columns = self._column_maps.get(names)
        if columns is None:
            columns = self._column_maps[names] = column_map(self._wanted, names, FEATURE_ALIASES)
        return columns


def _timestamps(record: TrainingExample) -> Timestamps:
    return Timestamps(record["acted_at"] or 0, record["labelled_at"])


def _finite(value: float) -> float:
    if not isfinite(value):
        raise PoisonError("non_finite", "value")
    return min(max(value, 0.0), 1.0)
