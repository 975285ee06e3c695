"""Turns user events into the fields that features need. eddy.contract.events decides which events are usable."""

from typing import NamedTuple

from eddy.contract.checks import PartitionOf, check_partition
from eddy.contract.codec import Codec
from eddy.contract.events import EventContract
from eddy.contract.message import Message
from eddy.contract.records import UserEvent
from eddy.contract.scenarios import Scenarios


class CleanEvent(NamedTuple):
    """A usable event: `value` is normalised to 0..1, `label` is `scenario/action`, `occurred_at` is event time in milliseconds.

    `has_value` tells a given value from the action's default; `is_rating` marks a given value that is an explicit rating. A `reversal`
    (eddy.contract.events) is not positive and counts nowhere. An event that `rejects` its item says that the user does not want it: it is
    not positive either, but a low rating counts as a rating.
    """

    offset: int
    event_id: str
    scenario: str
    action: str
    label: str
    item_id: str | None
    value: float
    occurred_at: int
    positive: bool
    has_value: bool
    is_rating: bool
    reversal: bool = False
    rejects: bool = False
    request_id: str | None = None


class Cleaner:
    """Turns messages of `user-events` into clean events."""

    def __init__(self, scenarios: Scenarios, partition_of: PartitionOf | None = None) -> None:
        self._codec = Codec.of(UserEvent)
        self._contract = EventContract(scenarios)
        self.partition_of = partition_of

    def __call__(self, message: Message) -> CleanEvent:
        """Return the event in `message`. Raises PoisonError with the reason if it is unusable."""
        record = self._codec.decode(message.value)
        event = self._contract.check(record, message.key, message.timestamp_ms)
        check_partition(message, self.partition_of)
        return CleanEvent(
            message.offset,
            event.event_id,
            event.rule.scenario,
            event.rule.action,
            event.rule.label,
            event.item_id,
            event.rule.normalise(event.value),
            event.occurred_at,
            event.positive,
            event.value is not None,
            event.rule.explicit_rating and event.value is not None and not event.reversal,
            event.reversal,
            event.rejects,
            event.request_id,
        )
