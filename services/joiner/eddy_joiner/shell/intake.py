"""Messages as the join reads them: lists and events, and what is refused or passed over."""

from eddy.contract.message import Message
from eddy.errors import PoisonError
from eddy.metrics import SKIPPED
from eddy_joiner.core.events import Event, read_event
from eddy_joiner.core.lists import ServedList, read_list
from eddy_joiner.core.outcomes import Refused
from eddy_joiner.core.policy import AHEAD_MS, DAY_MS, AttributionPolicy


def take_list(message: Message, policy: AttributionPolicy) -> ServedList | Refused:
    """The list in a message of `recommendations`, or why it cannot be used."""
    try:
        served = read_list(message)
        _check(served, message, policy)
        if served.requested_at > message.timestamp_ms + AHEAD_MS:
            served = served._replace(requested_at=message.timestamp_ms + AHEAD_MS)
    except PoisonError as error:
        return Refused(message, error.reason, error.detail)
    return served


def take_event(message: Message, policy: AttributionPolicy) -> Event | Refused | None:
    """The event in a message of `user-events`, why it cannot be used, or None where the features service says so."""
    try:
        return read_event(message, policy)
    except PoisonError as error:
        if error.reason == "timestamp_ahead":
            return Refused(message, error.reason, error.detail)
        SKIPPED.labels(error.reason).inc()
        return None


def _check(served: ServedList, message: Message, policy: AttributionPolicy) -> None:
    if message.key != served.user_id.encode():
        raise PoisonError("wrong_key", "the key is not the user_id")
    if not policy.knows(served.scenario):
        raise PoisonError("unknown_scenario", served.scenario)
    if served.requested_at > message.timestamp_ms + DAY_MS:
        raise PoisonError("timestamp_ahead", f"{served.requested_at - message.timestamp_ms} ms ahead of its arrival")
