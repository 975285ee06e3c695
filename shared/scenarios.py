"""scenarios.yaml as typed, checked values. A bad file is refused with the line that is wrong."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.errors import ConfigError
from shared.model_contract import ACTIONS, MAX_SCENARIOS

IMPRESSION = "impression"
CLICK = "click"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ValueRange(_Frozen):
    """Range a raw value is clipped to and scaled from, to 0..1; `default` stands in for a missing value."""

    min: float
    max: float
    default: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.min <= self.default <= self.max or self.min == self.max:
            raise ValueError("min <= default <= max and min < max must hold")
        return self

    def normalise(self, value: float | None) -> float:
        raw = self.default if value is None else value
        return (min(max(raw, self.min), self.max) - self.min) / (self.max - self.min)


class Action(_Frozen):
    """What an action means in a scenario. Weight above 0 is positive feedback, 0 none, below 0 negative."""

    weight: float
    value: ValueRange | None = None
    needs_item: bool = True

    @property
    def positive(self) -> bool:
        return self.weight > 0

    def normalise(self, value: float | None) -> float:
        """The value in 0..1; 1 for an action that has no value range."""
        return 1.0 if self.value is None else self.value.normalise(value)


class Candidates(_Frozen):
    """How many candidates each source may bring, and how many are considered (ranked and logged) in all."""

    considered: Annotated[int, Field(ge=1, le=500)] = 60
    encoder: Annotated[int, Field(ge=0, le=500)] = 40
    covisited: Annotated[int, Field(ge=0, le=500)] = 30
    trending: Annotated[int, Field(ge=0, le=500)] = 10
    fresh: Annotated[int, Field(ge=0, le=500)] = 3


class Exploration(_Frozen):
    """Last places of the list that uniformly random eligible items take, and the share of lists in which they do."""

    random_slots: Annotated[int, Field(ge=0, le=10)] = 1
    probability: Annotated[float, Field(gt=0, le=1)] = 0.2


class Counts(_Frozen):
    """Half-lives of decayed counts, in seconds of event time."""

    slow_half_life_sec: Annotated[float, Field(gt=0)] = 2592000.0
    fast_half_life_sec: Annotated[float, Field(gt=0)] = 86400.0
    covisit_half_life_sec: Annotated[float, Field(gt=0)] = 15552000.0


class Scenario(_Frozen):
    """One scenario. `id` is its index in the model and must never be used for another."""

    id: Annotated[int, Field(ge=0, lt=MAX_SCENARIOS)]
    actions: dict[str, Action]
    attribution_window_sec: Annotated[float, Field(gt=0)]
    filters: tuple[Literal["seen", "unavailable", "excluded"], ...] = ("unavailable", "excluded")
    candidates: Candidates = Candidates()
    exploration: Exploration = Exploration()
    counts: Counts = Counts()
    push: bool = False

    @model_validator(mode="after")
    def _actions_known(self) -> Self:
        for name, action in self.actions.items():
            if action.positive and name not in ACTIONS:
                raise ValueError(f"action {name!r} has no head in the model contract: {', '.join(ACTIONS)}")
        if IMPRESSION not in self.actions:
            raise ValueError("an `impression` action is needed")
        if not any(action.positive for action in self.actions.values()):
            raise ValueError("at least one action of positive weight is needed")
        return self


class Scenarios(_Frozen):
    """The whole file."""

    version: Literal[1]
    scenarios: Annotated[dict[str, Scenario], Field(min_length=1)]

    @model_validator(mode="after")
    def _ids_unique(self) -> Self:
        owners: dict[int, str] = {}
        for name, scenario in self.scenarios.items():
            if scenario.id in owners:
                raise ValueError(f"{name} and {owners[scenario.id]} have the same id {scenario.id}")
            owners[scenario.id] = name
        return self

    def __getitem__(self, name: str) -> Scenario:
        return self.scenarios[name]

    def get(self, name: str) -> Scenario | None:
        return self.scenarios.get(name)

    @cached_property
    def ids(self) -> dict[str, int]:
        """Index of each scenario in the model."""
        return {name: scenario.id for name, scenario in self.scenarios.items()}


def load_scenarios(path: Path) -> Scenarios:
    """Read and check a scenarios file. Raises ConfigError `path:line: what is wrong`."""
    try:
        text = path.read_text()
    except OSError as error:
        raise ConfigError(
            f"cannot read the scenarios file {path}: {error.strerror}; set EDDY_SCENARIOS_PATH"
        ) from error
    try:
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: {error.problem}") from error
    try:
        return Scenarios.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}:{_line_of(text, first['loc'])}: {where}: {first['msg']}") from error


def _line_of(text: str, loc: tuple[int | str, ...]) -> int:
    """Line of the deepest part of `loc` that the document has."""
    node: Any = yaml.compose(text)
    line = 1
    for part in loc:
        if not isinstance(node, yaml.MappingNode):
            break
        found = [(key, value) for key, value in node.value if key.value == str(part)]
        if not found:
            break
        line = found[0][0].start_mark.line + 1
        node = found[0][1]
    return line
