"""What features keep of a usable event. What makes an event usable says eddy.contract.events."""

from typing import NamedTuple

from eddy.contract.codec import Codec
from eddy.contract.events import EventContract
from eddy.contract.message import Message
from eddy.contract.records import UserEvent
from eddy.contract.scenarios import Scenarios


class CleanEvent(NamedTuple):
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
    """Turns messages of user-events into events."""

    def __init__(self, scenarios: Scenarios) -> None:
        self._codec = Codec.of(UserEvent)
        self._contract = EventContract(scenarios)

    def __call__(self, message: Message) -> CleanEvent:
        """The event in `message`. Raises PoisonError with the reason when it cannot be used."""
        record = self._codec.decode(message.value)
        rule, event_id, _, item_id, value, _, at = self._contract.check(record, message.key, message.timestamp_ms)
        return CleanEvent(
            message.offset,
            event_id,
            rule.scenario,
            rule.action,
            rule.label,
            item_id,
            rule.normalise(value),
            at,
            rule.positive,
            value is not None,
            rule.explicit_rating and value is not None,
        )
