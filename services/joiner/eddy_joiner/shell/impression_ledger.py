"""The joiner's impression ledger and its other metrics, counted as transactions are committed."""

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
from eddy_joiner.core.outcomes import Erased, ImpressionOutcome, Negative, NextItemOutcome, Outcome, Positive, Upgrade
from eddy_joiner.core.slates import SlateItem

SERVICE = "joiner"
LAST_POSITION = 10  # positions from here on are counted together

_SLATE_TO_IMPRESSION, _ACTION_TO_LABEL = (
    HOP_SECONDS.labels("slate_to_impression"),
    HOP_SECONDS.labels("action_to_label"),
)


class ImpressionLedger:
    """Counts committed outcomes, so that impressions = positive + negative + erased + open + handed over in every process at any time.

    When a partition moves, its open impressions count as handed over in the former process and as impressions in the new one.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._unlabelled: dict[int, int] = {}
        self.partitions: dict[str, dict[str, float]] = {}

    def take_over(self, partition: int, scenarios: Iterable[str]) -> None:
        """Count the impressions of a rebuilt partition that are open or have an unwritten label, given the scenario of each."""
        counted = self._unlabelled.get(partition, 0)
        for index, scenario in enumerate(scenarios):
            if index >= counted:
                self._add_impressions(partition, scenario, 1)

    def record(self, partition: int, outcomes: Iterable[Outcome], open_impressions: int, watermark: int) -> None:
        """Count committed outcomes, and set the partition's open impressions and watermark (ms)."""
        for outcome in outcomes:
            self._count(partition, outcome)
        seconds = max(watermark, 0) / 1000
        OPEN_IMPRESSIONS.labels(str(partition)).set(open_impressions)
        WATERMARK.labels(str(partition)).set(seconds)
        self.partitions[str(partition)] = {"open": open_impressions, "watermark": seconds}

    def hand_over(self, partition: int) -> None:
        """Count the open impressions of a partition that has moved to another instance as handed over."""
        HANDED_OVER.inc(max(0, self._unlabelled.pop(partition, 0)))
        if self.partitions.pop(str(partition), None) is not None:
            OPEN_IMPRESSIONS.remove(str(partition))
            WATERMARK.remove(str(partition))

    def _count(self, partition: int, outcome: Outcome) -> None:
        match outcome:
            case ImpressionOutcome():
                self._add_impressions(partition, outcome.scenario, len(outcome.items))
                _SLATE_TO_IMPRESSION.observe(outcome.after_ms / 1000)
                for item in outcome.items:
                    POSITION_IMPRESSIONS.labels(outcome.scenario, item.source, _position(item)).inc()
            case Positive():
                scenario, item = outcome.slate.scenario, outcome.impression.item
                self._add_labels(partition, scenario, "positive", 1)
                _ACTION_TO_LABEL.observe((self._clock.now_ms() - outcome.event.message.timestamp_ms) / 1000)
                POSITION_INTERACTIONS.labels(scenario, item.source, _position(item)).inc()
            case Negative():
                self._add_labels(partition, outcome.slate.scenario, "negative", len(outcome.impressions))
            case Erased():
                for scenario, count in outcome.open_impressions.items():
                    self._add_labels(partition, scenario, "erased", count)
            case Upgrade():
                UPGRADES.labels(outcome.slate.scenario, outcome.event.action).inc()
            case NextItemOutcome():
                origin = "organic" if outcome.impression is None else "shown"
                NEXT_ITEMS.labels(outcome.event.scenario, origin).inc()

    def _add_impressions(self, partition: int, scenario: str, count: int) -> None:
        self._unlabelled[partition] = self._unlabelled.get(partition, 0) + count
        IMPRESSIONS.labels(scenario).inc(count)

    def _add_labels(self, partition: int, scenario: str, label: str, count: int) -> None:
        self._unlabelled[partition] = self._unlabelled.get(partition, 0) - count
        LABELS.labels(scenario, label).inc(count)


def _position(item: SlateItem) -> str:
    return str(item.position) if item.position < LAST_POSITION else f"{LAST_POSITION}+"
