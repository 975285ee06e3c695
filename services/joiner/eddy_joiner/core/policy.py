"""What scenarios.yaml says about joining, in the form the join needs it."""

from eddy.contract.scenarios import Action, Scenario, Scenarios

DAY_MS = 86_400_000
# So far ahead of its arrival a record moves the clock: one device with a wrong clock closes nobody's window.
AHEAD_MS = 60_000


class AttributionPolicy:
    """Windows, weights and values of all scenarios. Those of one never change; others may come.

    `lateness_sec` is how much longer than its window a list that was served can still be shown, by event time: users may be out of
    step. An item's own window runs from the clock at its impression, and needs no lateness.
    """

    def __init__(self, scenarios: Scenarios, lateness_sec: float = 0.0) -> None:
        self.scenarios = scenarios
        self._actions: dict[str, dict[str, Action]] = {}
        self._weights: dict[tuple[str, str], float] = {}
        self._windows: dict[str, int] = {}
        self._lateness_ms = round(lateness_sec * 1000)
        scenarios.each(self._add)

    def _add(self, name: str, scenario: Scenario) -> None:
        self._actions[name] = scenario.actions
        self._weights |= {(name, action): rule.weight for action, rule in scenario.actions.items()}
        self._windows[name] = round(scenario.attribution_window_sec * 1000)

    def knows(self, scenario: str) -> bool:
        return scenario in self._windows

    def has_action(self, scenario: str, action: str) -> bool:
        return (scenario, action) in self._weights

    def needs_item(self, scenario: str, action: str) -> bool:
        """Whether an event with this action must name an item: where scenarios.yaml says so, and to label something."""
        rule = self._actions[scenario][action]
        return rule.needs_item or rule.positive

    def window_ms(self, scenario: str) -> int:
        """How long after its impression an item can be labelled positive."""
        return self._windows[scenario]

    def admission_ms(self, scenario: str) -> int:
        """How far the clock moves before a served list can no longer be shown."""
        return self._windows[scenario] + self._lateness_ms

    def weight(self, scenario: str, action: str) -> float:
        """Weight of an action; 0 for one that the scenario does not know."""
        return self._weights.get((scenario, action), 0.0)

    def value(self, scenario: str, action: str, value: float | None) -> float:
        """Value in 0..1 by the scenario's rule for a known action."""
        return self._actions[scenario][action].normalise(value)
