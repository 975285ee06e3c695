"""What scenarios.yaml says about joining, in the form the join needs it."""

from eddy.contract.events import EventContract
from eddy.contract.scenarios import Scenario, Scenarios

DAY_MS = 86_400_000


class AttributionPolicy:
    """Windows and weights of all scenarios, and which `events` are usable. A scenario never changes; others may be added.

    `lateness_sec` is how much longer than its window a list that was served can still be shown, by event time: users may be out of
    step. An item's own window runs from the clock at its impression, and needs no lateness.
    """

    def __init__(self, scenarios: Scenarios, lateness_sec: float = 0.0) -> None:
        self.scenarios = scenarios
        self.events = EventContract(scenarios)
        self._weights: dict[tuple[str, str], float] = {}
        self._windows: dict[str, int] = {}
        self._lateness_ms = round(lateness_sec * 1000)
        scenarios.subscribe(self._add)

    def _add(self, name: str, scenario: Scenario) -> None:
        self._weights |= {(name, action): rule.weight for action, rule in scenario.actions.items()}
        self._windows[name] = round(scenario.attribution_window_sec * 1000)

    def knows(self, scenario: str) -> bool:
        return scenario in self._windows

    def window_ms(self, scenario: str) -> int:
        """How long after its impression an item can be labelled positive."""
        return self._windows[scenario]

    def admission_ms(self, scenario: str) -> int:
        """How far the clock moves before a served list can no longer be shown."""
        return self._windows[scenario] + self._lateness_ms

    def weight(self, scenario: str, action: str) -> float:
        """Weight of an action; 0 for one that the scenario does not know."""
        return self._weights.get((scenario, action), 0.0)
