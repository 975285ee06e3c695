"""User events as the joiner uses them. `eddy.contract.events` defines which events are usable."""

from typing import NamedTuple

from eddy.contract.checks import check_partition
from eddy.contract.codec import Codec
from eddy.contract.digests import digest_of
from eddy.contract.limits import MAX_CLOCK_LEAD_MS
from eddy.contract.message import Message
from eddy.contract.records import UserEvent
from eddy.contract.scenarios import IMPRESSION
from eddy_joiner.core.policy import AttributionPolicy
from eddy_joiner.core.timelines import Times, timeline_of

_CODEC = Codec.of(UserEvent)


class JoinerEvent(NamedTuple):
    """A usable event. `weight` is that of the action, 0 if it is not positive feedback (eddy.contract.events); `value` is normalised to
    0..1; `message` is the source of the event.

    `clocks` are its times on the timelines: its append time, and `occurred_at`, but at most MAX_CLOCK_LEAD_MS after the append time.
    `timeline` is that of the event alone; where the event belongs to a slate, the timeline of the slate counts.
    An event without an id gets one made from its partition and offset.
    """

    offset: int
    event_id: str
    user_id: str
    scenario: str
    action: str
    item_id: str | None
    value: float
    weight: float
    request_id: str | None
    occurred_at: int
    clocks: Times
    timeline: int
    message: Message

    @property
    def user_digest(self) -> int:
        """The digest of the user as a number."""
        return int.from_bytes(digest_of(self.user_id), "little")

    @property
    def is_impression(self) -> bool:
        """Whether the event reports that a slate of the scorer, or an item of it, was shown."""
        return self.action == IMPRESSION and self.request_id is not None


def read_event(message: Message, policy: AttributionPolicy) -> JoinerEvent:
    """Decode and check a message of `user-events`. Raises PoisonError where it breaks the contract (eddy.contract.events)."""
    record = _CODEC.decode(message.value)
    appended_ms = message.timestamp_ms
    event = policy.events.check(record, message.key, appended_ms)
    check_partition(message, policy.partition_of)
    return JoinerEvent(
        message.offset,
        event.event_id or f"{message.topic}/{message.partition}/{message.offset}",
        event.user_id,
        event.rule.scenario,
        event.rule.action,
        event.item_id,
        event.rule.normalise(event.value),
        event.rule.weight if event.positive else 0.0,
        event.request_id,
        event.occurred_at,
        (appended_ms, min(event.occurred_at, appended_ms + MAX_CLOCK_LEAD_MS)),
        timeline_of(event.occurred_at, appended_ms),
        message,
    )
