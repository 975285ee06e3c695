"""Attribution windows and action weights, from scenarios.yaml."""

from eddy.contract.checks import PartitionOf
from eddy.contract.events import EventContract
from eddy.contract.scenarios import Scenario, Scenarios

DAY_MS = 86_400_000


class AttributionPolicy:
    """Windows and weights of all scenarios, and the contract that usable `events` meet. A scenario never changes; others may be added.

    `lateness_sec` is how much longer than its attribution window a slate admits impressions, by event time: users may be out of step.
    The window of an impression starts at the clock of the impression, and needs no lateness. With `partition_of`, events in another
    partition than that of their key are unusable.
    """

    def __init__(
        self, scenarios: Scenarios, lateness_sec: float = 0.0, partition_of: PartitionOf | None = None
    ) -> None:
        self.partition_of = partition_of
        self.scenarios = scenarios
        self.events = EventContract(scenarios)
        self._weights: dict[tuple[str, str], float] = {}
        self._windows: dict[str, int] = {}
        self.longest_admission_ms = 0
        self._lateness_ms = round(lateness_sec * 1000)
        scenarios.subscribe(self._add)

    def _add(self, name: str, scenario: Scenario) -> None:
        self._weights |= {(name, action): rule.weight for action, rule in scenario.actions.items()}
        self._windows[name] = round(scenario.attribution_window_sec * 1000)
        self.longest_admission_ms = max(self.longest_admission_ms, self.admission_ms(name))

    def has_scenario(self, scenario: str) -> bool:
        return scenario in self._windows

    def window_ms(self, scenario: str) -> int:
        """Time after an impression during which an interaction labels it positive."""
        return self._windows[scenario]

    def admission_ms(self, scenario: str) -> int:
        """Time after its request during which a slate admits impressions."""
        return self._windows[scenario] + self._lateness_ms

    def weight(self, scenario: str, action: str) -> float:
        """Weight of an action; 0 for an action that the scenario does not list."""
        return self._weights.get((scenario, action), 0.0)
