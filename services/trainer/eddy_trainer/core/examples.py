"""`training_example` records as checked values. What cannot be learned from is refused with its reason, never guessed at."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eddy.contract.model import ACTIONS, FEATURES, hash_of_contract
from eddy.contract.records import History, TrainingExample
from eddy.contract.scenarios import Scenarios
from eddy.errors import PoisonError

Features = NDArray[np.float16]
FeatureField = Literal["features", "considered_features"]

_ACTION_INDEX = {name: index for index, name in enumerate(ACTIONS)}


@dataclass(frozen=True, slots=True)
class Past:
    """One interaction of a history snapshot: `action` is 1 + index into ACTIONS, 0 for one without a head."""

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
class NextItem:
    """A positive event as the next item of its user's sequence.

    `target` is its place among the considered candidates, -1 when not there. `superseded` says that these were not the candidates
    of the moment: the user had a newer list.
    """

    user_id: str
    event: Past
    history: Iterable[Past]
    features: Features  # [C, FEATURES] of the considered candidates
    target: int
    superseded: bool = False
    timestamps: Timestamps = NO_TIMESTAMPS
    kind: str = "next_item"


@dataclass(frozen=True, slots=True)
class Shown:
    """Shown items with their labels; `actions` are indices into ACTIONS, -1 for a negative."""

    kind: str
    scenario: int
    features: Features  # [n, FEATURES]
    positions: tuple[int, ...]
    actions: tuple[int, ...]
    timestamps: Timestamps = NO_TIMESTAMPS


Example = NextItem | Shown


class Snapshot:
    """A history snapshot, spelt out only when somebody looks: most users are known already. Raises PoisonError for unequal columns."""

    def __init__(self, history: History, scenario_ids: Mapping[str, int]) -> None:
        self._columns = (
            history["item_ids"],
            history["actions"],
            history["scenarios"],
            history["values"],
            history["occurred_at"],
        )
        self._scenario_ids = scenario_ids
        if len({len(column) for column in self._columns}) > 1:
            raise PoisonError("undecodable", "history columns of unequal length")
        _finite(sum(history["values"]))  # refused now, not when somebody looks

    def __iter__(self) -> Iterator[Past]:
        for item, action, scenario, value, at in zip(*self._columns, strict=True):
            known = self._scenario_ids.get(scenario)
            if item and known is not None:  # a scenario may be gone since
                yield Past(item, 1 + _ACTION_INDEX.get(action, -1), known, _finite(value), at)


class ExampleParser:
    """Checks records against scenarios and model contract. Raises PoisonError."""

    def __init__(self, scenarios: Scenarios) -> None:
        self._scenario_ids = scenarios.ids
        self._contract = hash_of_contract()

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

    def _next_item(self, record: TrainingExample, scenario: int) -> NextItem:
        item = record["items"][0]
        considered = record["considered"]
        features = self._features(record, "considered_features", len(considered))
        target = considered.index(item["item_id"]) if item["item_id"] in considered else -1
        action = 1 + _action(item["action"])
        event = Past(item["item_id"], action, scenario, _finite(item["value"]), record["occurred_at"])
        history = () if record["history"] is None else Snapshot(record["history"], self._scenario_ids)
        return NextItem(record["user_id"], event, history, features, target, record["superseded"], _timestamps(record))

    def _shown(self, record: TrainingExample, scenario: int) -> Shown:
        items = record["items"]
        return Shown(
            record["kind"],
            scenario,
            self._features(record, "features", len(items)),
            tuple(item["position"] for item in items),
            tuple(_action(item["action"]) if item["label"] else -1 for item in items),
            _timestamps(record),
        )

    def _features(self, record: TrainingExample, field: FeatureField, rows: int) -> Features:
        """The packed matrix [rows, FEATURES], or [0, FEATURES] where none are known."""
        packed = record[field]
        if not packed:
            return np.zeros((0, len(FEATURES)), np.float16)
        if record["contract"] != self._contract:
            raise PoisonError("contract_mismatch", f"features follow {record['contract']!r}, not {self._contract!r}")
        if len(packed) != rows * len(FEATURES) * 2:
            raise PoisonError("bad_features", f"{len(packed)} bytes of features for {rows} items")
        features = np.frombuffer(packed, "<f2").reshape(rows, len(FEATURES))
        if not np.isfinite(features).all():
            raise PoisonError("non_finite", field)
        return features


def _timestamps(record: TrainingExample) -> Timestamps:
    return Timestamps(record["acted_at"] or 0, record["labelled_at"])


def _action(name: str) -> int:
    index = _ACTION_INDEX.get(name)
    if index is None:
        raise PoisonError("unknown_action", name)
    return index


def _finite(value: float) -> float:
    if not isfinite(value):
        raise PoisonError("non_finite", "value")
    return min(max(value, 0.0), 1.0)
