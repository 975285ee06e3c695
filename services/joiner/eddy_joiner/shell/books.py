"""The joiner's metrics: the books of every partition, and what went in and out."""

from collections.abc import Iterable

from eddy.clock import Clock
from eddy.metrics import (
    HANDED_OVER,
    HOP_SECONDS,
    IMPRESSIONS,
    LABELS,
    NEXT_ITEMS,
    OPEN_IMPRESSIONS,
    POSITION_IMPRESSIONS,
    POSITION_INTERACTIONS,
    UPGRADES,
    WATERMARK,
)
from eddy_joiner.core.outcomes import ImpressionOutcome, Negative, NextItemOutcome, Outcome, Positive, Upgrade
from eddy_joiner.core.slates import SlateItem

SERVICE = "joiner"
FURTHER = 10  # places from here on are counted together

_SLATE_TO_IMPRESSION, _ACTION_TO_LABEL = (
    HOP_SECONDS.labels("slate_to_impression"),
    HOP_SECONDS.labels("action_to_label"),
)


class Books:
    """Counts what was committed, so that shown = positive + negative + open + handed over holds in every process at any moment.

    Items that are open when a partition goes count as handed over by the process that had it, and as shown by the one that takes it over.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._balance: dict[int, int] = {}
        self.partitions: dict[str, dict[str, float]] = {}

    def take_over(self, partition: int, opened: Iterable[str]) -> None:
        """A rebuilt partition: the scenario of each item that is open or has a label still to be written."""
        counted = self._balance.get(partition, 0)
        for number, scenario in enumerate(opened):
            if number >= counted:
                self._add_shown(partition, scenario, 1)

    def enter(self, partition: int, outcomes: Iterable[Outcome], open_impressions: int, watermark: int) -> None:
        """Outcomes that are committed, and how the partition stands after them."""
        for outcome in outcomes:
            self._count(partition, outcome)
        seconds = max(watermark, 0) / 1000
        OPEN_IMPRESSIONS.labels(str(partition)).set(open_impressions)
        WATERMARK.labels(str(partition)).set(seconds)
        self.partitions[str(partition)] = {"open": open_impressions, "watermark": seconds}

    def leave(self, partition: int) -> None:
        """The partition belongs to another instance now."""
        HANDED_OVER.inc(max(0, self._balance.pop(partition, 0)))
        if self.partitions.pop(str(partition), None) is not None:
            OPEN_IMPRESSIONS.remove(str(partition))
            WATERMARK.remove(str(partition))

    def _count(self, partition: int, outcome: Outcome) -> None:
        match outcome:
            case ImpressionOutcome():
                self._add_shown(partition, outcome.scenario, len(outcome.items))
                _SLATE_TO_IMPRESSION.observe(outcome.after_ms / 1000)
                for item in outcome.items:
                    POSITION_IMPRESSIONS.labels(outcome.scenario, item.source, _position(item)).inc()
            case Positive():
                served, listed = outcome.served, outcome.place.listed
                self._add_labels(partition, served.scenario, "positive", 1)
                _ACTION_TO_LABEL.observe((self._clock.now_ms() - outcome.event.message.timestamp_ms) / 1000)
                POSITION_INTERACTIONS.labels(served.scenario, listed.source, _position(listed)).inc()
            case Negative():
                self._add_labels(partition, outcome.served.scenario, "negative", len(outcome.impressions))
            case Upgrade():
                UPGRADES.labels(outcome.served.scenario, outcome.event.action).inc()
            case NextItemOutcome():
                origin = "organic" if outcome.place is None else "shown"
                NEXT_ITEMS.labels(outcome.event.scenario, origin).inc()

    def _add_shown(self, partition: int, scenario: str, items: int) -> None:
        self._balance[partition] = self._balance.get(partition, 0) + items
        IMPRESSIONS.labels(scenario).inc(items)

    def _add_labels(self, partition: int, scenario: str, label: str, items: int) -> None:
        self._balance[partition] = self._balance.get(partition, 0) - items
        LABELS.labels(scenario, label).inc(items)


def _position(item: SlateItem) -> str:
    return str(item.position) if item.position < FURTHER else f"{FURTHER}+"
