"""Validation of `user_event` records, shared by gateway, features and joiner."""

import sys
from collections.abc import Mapping
from math import isfinite
from typing import Any, NamedTuple

from eddy.contract.checks import (
    check_attributes,
    check_length,
    check_range,
    check_time,
    check_user,
    quoted,
    unknown_scenario,
)
from eddy.contract.limits import MAX_AHEAD_MS, MAX_ID_CHARS, MAX_POSITION, MAX_TEXT_CHARS, MIN_EVENT_MS
from eddy.contract.scenarios import Action, Scenario, Scenarios
from eddy.errors import PoisonError


class ActionRule:
    """The rule of scenarios.yaml for an action of a scenario, prepared for fast look-up.

    `label` is `scenario/action`. `needs_item` is also true for every positive action, because it labels an item. `min_value` is the lower
    end of the range of its values, 0 for an action without a range.
    """

    __slots__ = (
        "action",
        "explicit_rating",
        "label",
        "min_value",
        "needs_item",
        "normalise",
        "positive",
        "rejects",
        "scenario",
        "weight",
    )

    def __init__(self, scenario: str, name: str, action: Action) -> None:
        self.scenario = sys.intern(scenario)
        self.action = sys.intern(name)
        self.label = sys.intern(f"{scenario}/{name}")
        self.weight = action.weight
        self.positive = action.positive
        self.explicit_rating = action.explicit_rating
        self.needs_item = action.needs_item or action.positive
        self.normalise = action.normalise
        self.rejects = action.rejects
        self.min_value = 0.0 if action.value is None else action.value.min


class UsableEvent(NamedTuple):
    """A valid event. `value` is as published, not normalised; `event_id` is empty if the publisher sets none.

    `reversal` marks a value below the range of its action, such as the negative price of a refund: the event is no interaction. `rejects`
    marks an event that says that the user does not want the item. `positive` marks positive feedback, which is neither.
    """

    rule: ActionRule
    event_id: str
    user_id: str
    item_id: str | None
    value: float | None
    request_id: str | None
    occurred_at: int
    reversal: bool
    rejects: bool
    positive: bool


class EventContract:
    """Validates events by scenarios.yaml, including scenarios that are added later."""

    def __init__(self, scenarios: Scenarios) -> None:
        self._rules: dict[str, dict[str, ActionRule]] = {}
        scenarios.subscribe(self._add)

    def check(self, record: Mapping[str, Any], key: bytes | None, appended_ms: int) -> UsableEvent:
        """Validate a decoded `user_event` with its message key and append time. Raises PoisonError with reason, field and what to do.

        This runs for every event. For speed the conditions are repeated here, and a check is only called to raise its error.
        """
        user_id, event_id, item_id = record["user_id"], record["event_id"], record["item_id"]
        request_id, value, occurred_at = record["request_id"], record["value"], record["occurred_at"]
        if not user_id or key != user_id.encode() or len(user_id) > MAX_ID_CHARS:
            check_user(user_id, key)
        if len(event_id) > MAX_ID_CHARS:
            check_length("event_id", event_id)
        rule = self._rule(record["scenario"], record["action"])
        if not item_id:
            _check_without_item(item_id, rule)
        elif len(item_id) > MAX_ID_CHARS:
            check_length("item_id", item_id)
        if request_id is not None and not 0 < len(request_id) <= MAX_ID_CHARS:
            _refuse_request_id(request_id)
        if value is not None and not isfinite(value):
            raise PoisonError("non_finite", f"value is {value}. Use a finite number, or leave it out.", "value")
        if not MIN_EVENT_MS <= occurred_at <= appended_ms + MAX_AHEAD_MS:
            check_time("occurred_at", occurred_at, appended_ms)
        if record["attributes"] or record["query"] is not None or record["position"] is not None:
            _check_details(record)
        reversal = value is not None and value < rule.min_value
        rejects = rule.rejects(value) and not reversal
        positive = rule.positive and not rejects and not reversal
        return UsableEvent(
            rule, event_id, user_id, item_id, value, request_id, occurred_at, reversal, rejects, positive
        )

    def _add(self, name: str, scenario: Scenario) -> None:
        self._rules[name] = {action: ActionRule(name, action, rule) for action, rule in scenario.actions.items()}

    def _rule(self, scenario: str, action: str) -> ActionRule:
        actions = self._rules.get(scenario)
        if actions is None:
            raise unknown_scenario(scenario, self._rules)
        rule = actions.get(action)
        if rule is None:
            message = f"unknown action {quoted(action)} in scenario {scenario}. Supported: {', '.join(actions)}."
            raise PoisonError(
                "unknown_action", f"{message} Use the closest one, or add it to scenarios.yaml.", "action"
            )
        return rule


def _check_without_item(item_id: str | None, rule: ActionRule) -> None:
    if rule.needs_item:
        message = f"action {rule.action} of scenario {rule.scenario} needs an item_id. Name the item."
        raise PoisonError("missing_item", message, "item_id")
    if item_id is not None:
        raise PoisonError("missing_item", "item_id is empty. Name the item, or leave item_id out.", "item_id")


def _refuse_request_id(request_id: str) -> None:
    if not request_id:
        raise PoisonError("empty_name", "request_id is empty. Name the request, or leave request_id out.", "request_id")
    check_length("request_id", request_id)


def _check_details(record: Mapping[str, Any]) -> None:
    """Check the limits of fields that are stored but not used in computations."""
    position, query = record["position"], record["query"]
    if position is not None:
        check_range("position", position, 0, MAX_POSITION)
    if query is not None:
        check_length("query", query, MAX_TEXT_CHARS)
    if record["attributes"]:
        check_attributes(record["attributes"])
