"""Messages as the join reads them: lists and events, and what is refused or passed over."""

from dataclasses import dataclass

from eddy.contract.checks import check_key, check_time, unknown_scenario
from eddy.contract.limits import MAX_CLOCK_LEAD_MS
from eddy.contract.message import Message
from eddy.errors import PoisonError
from eddy.metrics import SKIPPED
from eddy_joiner.core.events import JoinerEvent, read_event
from eddy_joiner.core.outcomes import Refused
from eddy_joiner.core.policy import AttributionPolicy
from eddy_joiner.core.slates import ServedSlate, read_slate


def accept_slate(message: Message, policy: AttributionPolicy) -> ServedSlate | Refused | None:
    """The list in a message of `recommendations`, why it cannot be used, or None for a refused request: no impression can come of it."""
    try:
        served = read_slate(message)
        if served.refused:
            return None
        _check(served, message, policy)
        if served.requested_at > message.timestamp_ms + MAX_CLOCK_LEAD_MS:
            served = served._replace(requested_at=message.timestamp_ms + MAX_CLOCK_LEAD_MS)
    except PoisonError as error:
        return Refused(message, error.reason, error.detail)
    return served


@dataclass(frozen=True, slots=True)
class SkippedEvent:
    """An event that cannot be used and that the features service dead-letters."""

    reason: str


def accept_event(message: Message, policy: AttributionPolicy) -> JoinerEvent | Refused | SkippedEvent:
    """The event in a message of `user-events`, or why it cannot be used.

    Features and joiner refuse the same events. One far ahead of its append time would close every window: both dead-letter it.
    """
    try:
        return read_event(message, policy)
    except PoisonError as error:
        if error.reason == "timestamp_ahead":
            return Refused(message, error.reason, error.detail)
        SKIPPED.labels(error.reason).inc()
        return SkippedEvent(error.reason)


def _check(served: ServedSlate, message: Message, policy: AttributionPolicy) -> None:
    check_key("user_id", served.user_id, message.key)
    if not policy.knows(served.scenario):
        raise unknown_scenario(served.scenario, policy.scenarios.scenarios)
    check_time("requested_at", served.requested_at, message.timestamp_ms)
