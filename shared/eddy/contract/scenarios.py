"""scenarios.yaml as typed, validated values. A running service adopts new entries of the file."""

import asyncio
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias
from weakref import WeakMethod

import structlog
import yaml
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    create_model,
    model_validator,
)

from eddy.contract.model import ACTIONS, MAX_SCENARIOS
from eddy.contract.sources import CANDIDATE_SOURCES
from eddy.errors import ConfigError

IMPRESSION = "impression"
CLICK = "click"

# Former names of keys. Files that use them are still read, with a warning.
FORMER_KEYS = {"explicit_rating": "opinion", "ranked": "considered"}

_POLL_SEC = 1.0

log = structlog.get_logger()
_warned: set[tuple[Path, str]] = set()


def _either_name(key: str) -> AliasChoices:
    return AliasChoices(key, FORMER_KEYS[key])


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ValueRange(_Frozen):
    """Range to which a value is clipped and from which it is scaled to 0..1; `default` replaces a missing value.

    An `explicit_rating` says how much the user liked the item, as stars do and seconds or prices do not. Such values are averaged by item
    and by user. A value below `rejects_below` rejects the item, as an action of negative weight does.
    """

    min: float
    max: float
    default: float
    explicit_rating: Annotated[bool, Field(validation_alias=_either_name("explicit_rating"))] = False
    rejects_below: float | None = None

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if not self.min <= self.default <= self.max or self.min == self.max:
            raise ValueError("min <= default <= max and min < max are required")
        if self.rejects_below is not None and not self.min < self.rejects_below <= self.max:
            raise ValueError("min < rejects_below <= max is required")
        return self

    def normalise(self, value: float | None) -> float:
        raw = self.default if value is None else value
        return (min(max(raw, self.min), self.max) - self.min) / (self.max - self.min)


class Action(_Frozen):
    """An action of a scenario. A weight above 0 is positive feedback, 0 is no feedback, below 0 negative feedback."""

    weight: float
    value: ValueRange | None = None
    needs_item: bool = True

    @property
    def positive(self) -> bool:
        return self.weight > 0

    @property
    def explicit_rating(self) -> bool:
        return self.value is not None and self.value.explicit_rating

    def rejects(self, value: float | None) -> bool:
        """Whether the action, with this value, says that the user does not want the item."""
        below = None if self.value is None else self.value.rejects_below
        return self.weight < 0 or (below is not None and value is not None and value < below)

    def normalise(self, value: float | None) -> float:
        """The value in 0..1; 1 for an action without a value range."""
        return 1.0 if self.value is None else self.value.normalise(value)


class _CandidatesBase(_Frozen):
    """`ranked` is the number of candidates that are ranked and logged for a request."""

    ranked: Annotated[int, Field(ge=1, le=500, validation_alias=_either_name("ranked"))] = 60

    def quota(self, source: str) -> int:
        """Maximum number of candidates from a source; that of all candidates for a source without a quota."""
        return int(getattr(self, source, self.ranked))


_QUOTAS = {
    source.name: (Annotated[int, Field(ge=0, le=500)], source.quota)
    for source in CANDIDATE_SOURCES
    if source.quota is not None
}
if TYPE_CHECKING:
    CandidateQuotas = _CandidatesBase
else:
    # One field per source with a quota in eddy.contract.sources.
    CandidateQuotas = create_model("CandidateQuotas", __base__=_CandidatesBase, __module__=__name__, **_QUOTAS)


class Exploration(_Frozen):
    """In `probability` of the slates, uniformly random eligible items take the last `random_slots` positions."""

    random_slots: Annotated[int, Field(ge=0, le=10)] = 1
    probability: Annotated[float, Field(gt=0, le=1)] = 0.2


class HalfLives(_Frozen):
    """Half-lives of decayed counts, in seconds of event time."""

    slow_half_life_sec: Annotated[float, Field(gt=0)] = 2592000.0
    fast_half_life_sec: Annotated[float, Field(gt=0)] = 86400.0
    covisit_half_life_sec: Annotated[float, Field(gt=0)] = 15552000.0


class Scenario(_Frozen):
    """One scenario. `id` is its index in the model and must not be reused for another scenario.

    An item that the user rejected is not recommended for `rejection_days`; 0 disables that.

    With `published_only`, items that are known from events alone are recommended only as long as no item is published for the scenario.
    """

    id: Annotated[int, Field(ge=0, lt=MAX_SCENARIOS)]
    actions: dict[str, Action]
    attribution_window_sec: Annotated[float, Field(gt=0)]
    filters: tuple[Literal["seen", "unavailable", "excluded"], ...] = ("unavailable", "excluded")
    candidates: CandidateQuotas = CandidateQuotas()
    exploration: Exploration = Exploration()
    counts: HalfLives = HalfLives()
    push: bool = False
    published_only: bool = True
    rejection_days: Annotated[float, Field(ge=0, le=3650)] = 30.0

    @model_validator(mode="after")
    def _check_actions(self) -> Self:
        for name, action in self.actions.items():
            if action.positive and name not in ACTIONS:
                raise ValueError(
                    f"unknown action {name!r}. Supported: {', '.join(ACTIONS)}. Map it to the closest one, e.g. `save`."
                )
        if IMPRESSION not in self.actions:
            raise ValueError("the action `impression` is missing. Add `impression: {weight: 0, needs_item: false}`.")
        if not any(action.positive for action in self.actions.values()):
            raise ValueError("no action has a positive weight. Give one a weight above 0.")
        return self


Subscriber: TypeAlias = Callable[[str, Scenario], None]


class Scenarios(_Frozen):
    """All scenarios of the file. A running service can get further ones; those it has do not change."""

    version: Literal[1]
    scenarios: Annotated[dict[str, Scenario], Field(min_length=1)]
    _subscribers: list[Callable[[], Subscriber | None]] = PrivateAttr(default_factory=list)

    @model_validator(mode="after")
    def _check_ids(self) -> Self:
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

    def subscribe(self, subscriber: Subscriber) -> None:
        """Call `subscriber(name, scenario)` for every present scenario, and for each one that is added later.

        Bound methods are held by weak reference.
        """
        for name, scenario in self.scenarios.items():
            subscriber(name, scenario)
        self._subscribers.append(WeakMethod(subscriber) if isinstance(subscriber, MethodType) else lambda: subscriber)

    def adopt(self, newer: "Scenarios") -> tuple[list[str], list[str]]:
        """Add the new scenarios of `newer`. Returns their names, and the names of present scenarios that `newer` changes or lacks.

        Present scenarios stay unchanged. Raises ConfigError for a new scenario with the id of a present one.
        """
        added = {name: scenario for name, scenario in newer.scenarios.items() if name not in self.scenarios}
        for name, scenario in added.items():
            owner = next((present for present, number in self.ids.items() if number == scenario.id), None)
            if owner is not None:
                raise ConfigError(
                    f"scenario {name} has the id {scenario.id}, which {owner} uses. Give it an unused id."
                )
        for name, scenario in added.items():
            self.scenarios[name] = scenario
            self.ids[name] = scenario.id
            for subscriber in [alive for reference in self._subscribers if (alive := reference())]:
                subscriber(name, scenario)
        return list(added), [name for name, scenario in self.scenarios.items() if newer.get(name) != scenario]

    def __getstate__(self) -> dict[Any, Any]:
        """Leave the subscribers out: they belong to this process."""
        return {**super().__getstate__(), "__pydantic_private__": {"_subscribers": []}}


def load_scenarios(path: Path) -> Scenarios:
    """Read and validate a scenarios file. Raises ConfigError `path:line: what is wrong`."""
    try:
        text = path.read_text()
    except OSError as error:
        raise ConfigError(
            f"cannot read the scenarios file {path}: {error.strerror}; set EDDY_SCENARIOS_PATH"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: {error}: save it as UTF-8") from error
    try:
        document = yaml.load(text, yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: {str(error).splitlines()[0]}") from error
    try:
        scenarios = Scenarios.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}:{_line_of(text, first['loc'])}: {where}: {first['msg']}") from error
    _warn_of_former_keys(path, document["scenarios"])
    return scenarios


def _warn_of_former_keys(path: Path, scenarios: dict[str, Any]) -> None:
    """Log which keys of a valid file should be renamed, once per process."""
    used: set[str] = set()
    for scenario in scenarios.values():
        used.update(scenario.get("candidates", {}))
        for action in scenario["actions"].values():
            used.update(action.get("value") or {})
    for present, former in FORMER_KEYS.items():
        if former in used and (path, former) not in _warned:
            _warned.add((path, former))
            log.warning("scenarios_key_renamed", path=str(path), former=former, present=present)


def _modified_at(path: Path) -> int:
    """Modification time in nanoseconds; 0 for a missing file."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


async def watch_scenarios(path: Path, scenarios: Scenarios) -> None:
    """Adopt scenarios that are added to the file at `path`, within about a second, until cancelled. Invalid files change nothing."""
    last_modified = await asyncio.to_thread(_modified_at, path)
    while True:
        await asyncio.sleep(_POLL_SEC)
        modified = await asyncio.to_thread(_modified_at, path)
        if modified == last_modified:
            continue
        last_modified = modified
        try:
            added, changed = scenarios.adopt(await asyncio.to_thread(load_scenarios, path))
        except ConfigError as error:
            log.error("scenarios_refused", reason=str(error))
            continue
        for name in added:
            log.info("scenario_added", scenario=name)
        if changed:
            log.warning("scenarios_need_a_restart", scenarios=changed)


def _line_of(text: str, loc: tuple[int | str, ...]) -> int:
    """Line of the deepest part of `loc` that is in the document."""
    node: Any = yaml.compose(text)
    line = 1
    for part in loc:
        if not isinstance(node, yaml.MappingNode):
            break
        matches = [(key, value) for key, value in node.value if key.value == str(part)]
        if not matches:
            break
        key, node = matches[0]
        line = key.start_mark.line + 1
    return line
