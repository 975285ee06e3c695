"""What an event must be to be used: a pure check of one message, and its normalised form."""

import math
import sys
from typing import Any, NamedTuple

from eddy.contract.codec import Codec
from eddy.contract.message import Message
from eddy.contract.scenarios import Action, Scenario, Scenarios
from eddy.errors import PoisonError

MAX_ID_CHARS = 256
MAX_TEXT_CHARS = 1024
MAX_ATTRIBUTES = 64
MAX_AHEAD_MS = 24 * 3600 * 1000


class Event(NamedTuple):
    """A clean event. `value` is normalised to 0..1, `label` is `scenario/action`, `at` event time in milliseconds.

    `valued` says whether a value was given, `opinion` whether one was that says how much the user liked the item.
    """

    offset: int
    event_id: str
    scenario: str
    action: str
    label: str
    item_id: str | None
    value: float
    at: int
    positive: bool
    valued: bool
    opinion: bool


class Cleaner:
    """Turns messages of user-events into events by the rules of scenarios.yaml."""

    def __init__(self, scenarios: Scenarios) -> None:
        self._codec = Codec.of("user_event")
        self._rules: dict[str, dict[str, _Rule]] = {}
        scenarios.each(self._add)

    def __call__(self, message: Message) -> Event:
        """The event in `message`. Raises PoisonError with the reason when it cannot be used."""
        record = self._codec.decode(message.value)
        _check_ids(record, message.key)
        rule = self._rule(record["scenario"], record["action"])
        _check_values(record, message.timestamp_ms, rule.needs_item)
        item_id = record["item_id"] or None
        valued = record["value"] is not None
        return Event(
            message.offset,
            record["event_id"],
            rule.scenario,
            rule.action,
            rule.label,
            item_id,
            rule.normalise(record["value"]),
            record["occurred_at"],
            rule.positive,
            valued,
            rule.opinion and valued,
        )

    def _add(self, name: str, scenario: Scenario) -> None:
        self._rules[name] = {action: _Rule(name, action, rule) for action, rule in scenario.actions.items()}

    def _rule(self, scenario: str, action: str) -> "_Rule":
        actions = self._rules.get(scenario)
        if actions is None:
            raise PoisonError("unknown_scenario", scenario[:MAX_ID_CHARS])
        rule = actions.get(action)
        if rule is None:
            raise PoisonError("unknown_action", f"{scenario}/{action[:MAX_ID_CHARS]}")
        return rule


class _Rule:
    """An action of a scenario with all that cleaning needs, looked up once."""

    __slots__ = ("action", "label", "needs_item", "normalise", "opinion", "positive", "scenario")

    def __init__(self, scenario: str, name: str, action: Action) -> None:
        self.scenario = sys.intern(scenario)
        self.action = sys.intern(name)
        self.label = sys.intern(f"{scenario}/{name}")
        self.positive = action.positive
        self.opinion = action.opinion
        self.needs_item = action.needs_item
        self.normalise = action.normalise


def _check_ids(record: dict[str, Any], key: bytes | None) -> None:
    user_id = record["user_id"]
    if not user_id:
        raise PoisonError("missing_user", "user_id is empty")
    if key is None or key != user_id.encode():
        raise PoisonError("wrong_key", "the message key is not the user id")
    for name in ("event_id", "user_id", "item_id", "request_id"):
        if record[name] is not None and len(record[name]) > MAX_ID_CHARS:
            raise PoisonError("too_long", f"{name} has {len(record[name])} characters of at most {MAX_ID_CHARS}")


def _check_values(record: dict[str, Any], appended_ms: int, needs_item: bool) -> None:
    if needs_item and not record["item_id"]:
        raise PoisonError("missing_item", f"{record['scenario']}/{record['action']} needs an item_id")
    if record["value"] is not None and not math.isfinite(record["value"]):
        raise PoisonError("non_finite", f"value is {record['value']}")
    if record["occurred_at"] > appended_ms + MAX_AHEAD_MS:
        raise PoisonError("timestamp_ahead", f"occurred_at is {record['occurred_at'] - appended_ms} ms ahead")
    if record["query"] is not None and len(record["query"]) > MAX_TEXT_CHARS:
        raise PoisonError("too_long", f"query has {len(record['query'])} characters of at most {MAX_TEXT_CHARS}")
    if record["attributes"]:
        _check_attributes(record["attributes"])


def _check_attributes(attributes: dict[str, str]) -> None:
    if len(attributes) > MAX_ATTRIBUTES:
        raise PoisonError("too_long", f"{len(attributes)} attributes of at most {MAX_ATTRIBUTES}")
    for name, value in attributes.items():
        if len(name) > MAX_ID_CHARS or len(value) > MAX_TEXT_CHARS:
            raise PoisonError("too_long", f"attribute {name[:MAX_ID_CHARS]!r} has {len(value)} characters")
