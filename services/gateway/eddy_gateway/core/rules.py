"""What scenarios.yaml says about an event, an item and a request. Each check names the field that does not hold."""

from dataclasses import dataclass

from eddy.contract.scenarios import Scenarios
from eddy_gateway.core.models import EventIn, ItemIn

MAX_AHEAD_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Complaint:
    """A field that does not hold. `kind` is from the same closed set as the reasons of dead letters."""

    field: str
    kind: str
    message: str


class Rules:
    """Checks by the rules of scenarios.yaml; None means that all holds."""

    def __init__(self, scenarios: Scenarios) -> None:
        self._scenarios = scenarios

    def event(self, event: EventIn, now_ms: int) -> Complaint | None:
        """The features service would refuse what is refused here; over HTTP there is somebody to tell."""
        scenario = self._scenarios.get(event.scenario)
        if scenario is None:
            return self._unknown(event.scenario)
        action = scenario.actions.get(event.action)
        if action is None:
            known = ", ".join(scenario.actions)
            message = f"{event.scenario} has no action {event.action!r}; it has {known}"
            return Complaint("action", "unknown_action", message)
        if action.needs_item and event.item_id is None:
            return Complaint("item_id", "missing_item", f"{event.action} needs an item_id")
        if event.occurred_at is not None and event.occurred_at > now_ms + MAX_AHEAD_MS:
            return Complaint("occurred_at", "timestamp_ahead", "more than a day ahead of now; it is in milliseconds")
        return None

    def item(self, item: ItemIn) -> Complaint | None:
        unknown = next((name for name in item.scenarios if self._scenarios.get(name) is None), None)
        return None if unknown is None else self._unknown(unknown, "scenarios")

    def scenario(self, name: str) -> Complaint | None:
        return None if self._scenarios.get(name) else self._unknown(name)

    def _unknown(self, name: str, field: str = "scenario") -> Complaint:
        known = ", ".join(self._scenarios.scenarios)
        return Complaint(field, "unknown_scenario", f"there is no scenario {name!r}; there are {known}")
