"""The scenario and action of the events of a replay."""

from dataclasses import dataclass

from eddy.contract.scenarios import CLICK, Scenarios
from eddy.errors import ConfigError
from eddy_cli.replay.options import ACTION, SCENARIO


@dataclass(frozen=True, slots=True)
class EventKind:
    """An action of a scenario. With `explicit_rating` its value is a rating, and clicks that replace it have that value too."""

    scenario: str
    action: str
    explicit_rating: bool


MOVIELENS = EventKind(SCENARIO, ACTION, explicit_rating=True)


def event_kind_of(scenarios: Scenarios, scenario: str, action: str) -> EventKind:
    """The kind for a scenario and an action. Raises ConfigError that lists the scenarios, or the scenario's positive actions."""
    rules = scenarios.get(scenario)
    if rules is None:
        raise ConfigError(
            f"there is no scenario {scenario}: choose one of {', '.join(scenarios.scenarios)} by --scenario"
        )
    positive = [name for name, rule in rules.actions.items() if rule.positive]
    if action not in positive:
        raise ConfigError(
            f"{action} is not a positive action of {scenario}: choose one of {', '.join(positive)} by --action"
        )
    if CLICK not in positive:
        raise ConfigError(
            f"{scenario} has no action {CLICK}, which the replay uses for recommended items: choose another scenario by --scenario"
        )
    return EventKind(scenario, action, rules.actions[action].explicit_rating)
