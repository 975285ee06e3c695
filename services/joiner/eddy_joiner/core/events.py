"""User events as the join reads them."""

import math
import sys
from typing import Any, NamedTuple

from eddy.contract.codec import Codec
from eddy.contract.message import Message
from eddy.contract.scenarios import IMPRESSION
from eddy.errors import PoisonError
from eddy_joiner.core.policy import AHEAD_MS, DAY_MS, AttributionPolicy

MAX_ID_CHARS = 256

_CODEC = Codec.of("user_event")


class Event(NamedTuple):
    """A usable event. `weight` is that of the action, `value` is normalised to 0..1; `message` is what it was read from.

    `clock` is what the clock goes on to: `occurred_at`, but no later than AHEAD_MS after its arrival. An event without an id has one made
    of its place in the log.
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
    clock: int
    message: Message

    @property
    def is_impression(self) -> bool:
        """Whether it says that a list of the scorer was shown."""
        return self.action == IMPRESSION and self.request_id is not None


def read_event(message: Message, policy: AttributionPolicy) -> Event:
    """The event in a message of `user-events`.

    Raises PoisonError. `timestamp_ahead` (more than a day ahead of the broker's clock) would close every window, so the joiner
    dead-letters it; whatever else is wrong with an event the features service dead-letters, and the joiner passes it over.
    """
    record = _CODEC.decode(message.value)
    if record["occurred_at"] > message.timestamp_ms + DAY_MS:
        raise PoisonError("timestamp_ahead", f"{record['occurred_at'] - message.timestamp_ms} ms ahead of its arrival")
    _check(record, message.key, policy)
    scenario, action = sys.intern(record["scenario"]), sys.intern(record["action"])
    return Event(
        message.offset,
        record["event_id"] or f"{message.topic}/{message.partition}/{message.offset}",
        record["user_id"],
        scenario,
        action,
        record["item_id"] or None,
        policy.value(scenario, action, record["value"]),
        policy.weight(scenario, action),
        record["request_id"] or None,
        record["occurred_at"],
        min(record["occurred_at"], message.timestamp_ms + AHEAD_MS),
        message,
    )


def _check(record: dict[str, Any], key: bytes | None, policy: AttributionPolicy) -> None:
    user_id, scenario, action = record["user_id"], record["scenario"], record["action"]
    if not user_id:
        raise PoisonError("missing_user")
    if key != user_id.encode():
        raise PoisonError("wrong_key", "the key is not the user_id")
    if not policy.knows(scenario):
        raise PoisonError("unknown_scenario", scenario)
    if not policy.has_action(scenario, action):
        raise PoisonError("unknown_action", f"{scenario}/{action}")
    if not record["item_id"] and policy.needs_item(scenario, action):
        raise PoisonError("missing_item", f"{scenario}/{action}")
    if record["value"] is not None and not math.isfinite(record["value"]):
        raise PoisonError("non_finite", f"value is {record['value']}")
    if max(len(record[name] or "") for name in ("event_id", "user_id", "item_id", "request_id")) > MAX_ID_CHARS:
        raise PoisonError("too_long", f"an id of more than {MAX_ID_CHARS} characters")
