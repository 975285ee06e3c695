"""`training_example` records as validated values. Unusable records are refused with a reason."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eddy.contract.actions import ACTION_ALIASES
from eddy.contract.checks import unknown_scenario
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
    """One interaction of a history: `action` is 1 + its index in the model's actions, 0 without a head; `at` is in milliseconds."""

    item_id: str
    action: int
    scenario: int
    value: float
    at: int


class Timestamps(NamedTuple):
    """When Kafka received the action (0 without one) and when the example was written: wall clock in milliseconds."""

    acted_at: int
    labelled_at: int


NO_TIMESTAMPS = Timestamps(0, 0)


@dataclass(frozen=True, slots=True)
class NextItemExample:
    """A positive event as the next item of its user's sequence.

    `target` is the index of its item among the candidates, -1 if it was none. `superseded`: the user had received a newer slate.
    """

    user_id: str
    event: PastInteraction
    history: Iterable[PastInteraction]
    features: Features  # [C, FEATURES] of the candidates
    target: int
    superseded: bool = False
    timestamps: Timestamps = NO_TIMESTAMPS
    kind: str = "next_item"


@dataclass(frozen=True, slots=True)
class ImpressionExample:
    """Impressions with their labels; `actions` are indices into the model's actions, -1 for a negative."""

    kind: str
    scenario: int
    features: Features  # [n, FEATURES]
    positions: tuple[int, ...]
    actions: tuple[int, ...]
    timestamps: Timestamps = NO_TIMESTAMPS
    user_id: str = ""


Example = NextItemExample | ImpressionExample


class HistorySnapshot:
    """The history of an example, parsed lazily: most users already have a sequence. Raises PoisonError for columns of unequal length."""

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
            raise PoisonError("undecodable", "the columns of the history have different lengths")
        _finite(sum(history["values"]))  # refused now rather than during iteration

    def __iter__(self) -> Iterator[PastInteraction]:
        for item, action, scenario, value, at in zip(*self._columns, strict=True):
            scenario_id = self._scenario_ids.get(scenario)
            if item and scenario_id is not None:  # the scenario may have been removed
                yield PastInteraction(item, 1 + self._actions.get(action, -1), scenario_id, _finite(value), at)


class ExampleParser:
    """Validates records and maps their features and actions to the columns of the model. Raises PoisonError.

    Features and actions are matched by name, former names included. A feature that the model lacks is ignored; one that the record lacks
    is NaN. Logged features must be finite. An action without a head counts as history, but its item is dropped from a labelled example.
    """

    def __init__(self, scenarios: Scenarios, columns: Columns) -> None:
        self._scenario_ids = scenarios.ids
        self._model_features = columns.features
        self._column_maps: dict[tuple[str, ...], tuple[int, ...]] = {}
        present = {name: index for index, name in enumerate(columns.actions)}
        former = {alias: present[name] for alias, name in ACTION_ALIASES.items() if name in present}
        self._actions = former | present

    def parse(self, record: TrainingExample) -> Example:
        if not record["user_id"]:
            raise PoisonError("missing_user", "user_id is empty")
        if not record["items"] or not all(item["item_id"] for item in record["items"]):
            raise PoisonError("missing_item", "there is no item, or an item_id is empty")
        scenario = self._scenario_ids.get(record["scenario"])
        if scenario is None:
            raise unknown_scenario(record["scenario"], self._scenario_ids)
        if record["kind"] == "next_item":
            return self._next_item(record, scenario)
        if record["kind"] in ("label", "upgrade"):
            return self._impressions(record, scenario)
        raise PoisonError("undecodable", f"unknown kind {record['kind']!r}; expected next_item, label or upgrade")

    def _next_item(self, record: TrainingExample, scenario: int) -> NextItemExample:
        item = record["items"][0]
        candidates = record["considered"]
        features = self._features(record, "considered_features", len(candidates))
        target = candidates.index(item["item_id"]) if item["item_id"] in candidates else -1
        action = 1 + self._actions.get(item["action"], -1)
        event = PastInteraction(item["item_id"], action, scenario, _finite(item["value"]), record["occurred_at"])
        history = (
            () if record["history"] is None else HistorySnapshot(record["history"], self._scenario_ids, self._actions)
        )
        return NextItemExample(
            record["user_id"], event, history, features, target, record["superseded"], _timestamps(record)
        )

    def _impressions(self, record: TrainingExample, scenario: int) -> ImpressionExample:
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
            record["user_id"],
        )

    def _features(self, record: TrainingExample, field: FeatureField, rows: int) -> Features:
        """Return the feature matrix [rows, features of the model], or [0, ...] if the record has none."""
        packed, names = record[field], tuple(record["feature_names"]) or LEGACY_FEATURES
        if not packed or not self._has_columns(record):
            return np.zeros((0, len(self._model_features)), np.float16)
        if len(packed) != rows * len(names) * 2:
            raise PoisonError(
                "bad_features", f"{len(packed)} bytes; expected {rows} items x {len(names)} features x 2 bytes"
            )
        logged = np.frombuffer(packed, "<f2").reshape(rows, len(names))
        columns = self._columns_of(names)
        if not np.isfinite(logged[:, [column for column in columns if column != ABSENT]]).all():
            raise PoisonError("non_finite", f"{field} has a NaN or an infinite number")
        return take_columns(logged, columns)

    def _has_columns(self, record: TrainingExample) -> bool:
        """Whether the features have names or a known order. Without either, a next item is used without features and a label is refused."""
        if record["feature_names"] or is_compatible(record["contract"]):
            return True
        if record["kind"] == "next_item":
            return False
        raise PoisonError("contract_mismatch", f"unnamed features of contract {record['contract']!r}")

    def _columns_of(self, names: tuple[str, ...]) -> tuple[int, ...]:
        columns = self._column_maps.get(names)
        if columns is None:
            columns = self._column_maps[names] = column_map(self._model_features, names, FEATURE_ALIASES)
        return columns


def _timestamps(record: TrainingExample) -> Timestamps:
    return Timestamps(record["acted_at"] or 0, record["labelled_at"])


def _finite(value: float) -> float:
    if not isfinite(value):
        raise PoisonError("non_finite", "value is NaN or infinite")
    return min(max(value, 0.0), 1.0)
