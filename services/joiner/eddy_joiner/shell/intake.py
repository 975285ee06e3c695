"""Messages as the join takes them: slates and events, refused or skipped where they are unusable."""

from dataclasses import dataclass

from eddy.contract.checks import check_key, check_time, unknown_scenario
from eddy.contract.limits import MAX_CLOCK_LEAD_MS
from eddy.contract.message import Message
from eddy.errors import PoisonError
from eddy.metrics import SKIPPED
from eddy_joiner.core.erasures import UserErasure, read_erasure
from eddy_joiner.core.events import JoinerEvent, read_event
from eddy_joiner.core.outcomes import Refused
from eddy_joiner.core.policy import AttributionPolicy
from eddy_joiner.core.slates import ServedSlate, read_slate


def accept_slate(message: Message, policy: AttributionPolicy) -> ServedSlate | Refused | None:
    """Read a message of `recommendations`: the slate, or why it is unusable; None for the answer to a request that the scorer refused."""
    try:
        slate = read_slate(message)
        if slate.refused:
            return None
        _check(slate, message, policy)
        latest = message.timestamp_ms + MAX_CLOCK_LEAD_MS
        slate = slate._replace(requested_at=min(slate.requested_at, latest))
    except PoisonError as error:
        return Refused(message, error.reason, error.detail)
    return slate


@dataclass(frozen=True, slots=True)
class SkippedEvent:
    """An unusable event that the features service dead-letters."""

    reason: str


def accept_event(message: Message, policy: AttributionPolicy) -> JoinerEvent | UserErasure | Refused | SkippedEvent:
    """Read a message of `user-events`: the event, the erasure of a user, or why it is unusable.

    Features and joiner refuse the same events, and features dead-letters them. An event far ahead of its append time would close every
    window, so both services dead-letter it.
    """
    try:
        return read_erasure(message, policy.partition_of) if message.tombstone else read_event(message, policy)
    except PoisonError as error:
        if error.reason == "timestamp_ahead":
            return Refused(message, error.reason, error.detail)
        SKIPPED.labels(error.reason).inc()
        return SkippedEvent(error.reason)


def _check(slate: ServedSlate, message: Message, policy: AttributionPolicy) -> None:
    check_key("user_id", slate.user_id, message.key)
    if not policy.has_scenario(slate.scenario):
        raise unknown_scenario(slate.scenario, policy.scenarios.scenarios)
    check_time("requested_at", slate.requested_at, message.timestamp_ms)
