"""What is known of a user: the last interactions, counts, and which events it includes."""

import hashlib
import zlib
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from services.features.cleaning import Event

DIGEST_BYTES = 8
SEEN_BYTES = 4


@dataclass(frozen=True)
class UserPolicy:
    """How much of a user is kept."""

    interactions: int = 100
    seen: int = 4000
    recent_events: int = 100
    previous: int = 20


class Outcome(Enum):
    """What an event did to the state. REPLAYED: the state has it already, nothing changes."""

    APPLIED = 1
    DUPLICATE = 2
    REPLAYED = 3


@dataclass(slots=True)
class UserState:
    """The state of one user. `offsets` and the columns of the history are parallel, oldest first."""

    applied_offset: int = -1
    as_of: int = 0
    item_ids: list[str] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    scenarios: list[str] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    occurred_at: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    seen: bytearray = field(default_factory=bytearray)
    counts: dict[str, int] = field(default_factory=dict)
    recent: dict[bytes, None] = field(default_factory=dict)

    def apply(self, event: Event, policy: UserPolicy) -> Outcome:
        """Include `event`. A duplicate moves `applied_offset` on and nothing else, so that readers see it is dealt with."""
        if event.offset <= self.applied_offset:
            return Outcome.REPLAYED
        digest = digest_of(event.event_id)
        if digest in self.recent:
            self.applied_offset = event.offset
            return Outcome.DUPLICATE
        self._remember(digest, policy)
        self.as_of = event.at if self.applied_offset < 0 else max(self.as_of, event.at)
        self.applied_offset = event.offset
        self.counts[event.label] = self.counts.get(event.label, 0) + 1
        if event.positive and event.item_id is not None:
            self._append(event, event.item_id, policy)
        return Outcome.APPLIED

    def previous(self, item_id: str, limit: int) -> list[str]:
        """The last `limit` distinct items other than `item_id`, newest first."""
        found: dict[str, None] = {}
        for other in reversed(self.item_ids):
            if other != item_id:
                found[other] = None
                if len(found) == limit:
                    break
        return list(found)

    def _remember(self, digest: bytes, policy: UserPolicy) -> None:
        if len(self.recent) >= policy.recent_events:
            del self.recent[next(iter(self.recent))]
        self.recent[digest] = None

    def _append(self, event: Event, item_id: str, policy: UserPolicy) -> None:
        self.item_ids.append(item_id)
        self.actions.append(event.action)
        self.scenarios.append(event.scenario)
        self.values.append(event.value)
        self.occurred_at.append(event.at)
        self.offsets.append(event.offset)
        if len(self.item_ids) > policy.interactions:
            self._forget_oldest(policy)

    def _forget_oldest(self, policy: UserPolicy) -> None:
        self.seen += zlib.crc32(self.item_ids[0].encode()).to_bytes(SEEN_BYTES, "little")
        if len(self.seen) > SEEN_BYTES * policy.seen:
            del self.seen[:SEEN_BYTES]
        for column in (self.item_ids, self.actions, self.scenarios, self.values, self.occurred_at, self.offsets):
            del column[0]

    def record(self, user_id: str) -> dict[str, Any]:
        """The `user_features` record of this state."""
        return {
            "user_id": user_id,
            "applied_offset": self.applied_offset,
            "as_of": self.as_of,
            "history": {
                "item_ids": self.item_ids,
                "actions": self.actions,
                "scenarios": self.scenarios,
                "values": self.values,
                "occurred_at": self.occurred_at,
            },
            "offsets": self.offsets,
            "seen": bytes(self.seen),
            "counts": self.counts,
            "recent_events": b"".join(self.recent),
        }

    @staticmethod
    def of(record: dict[str, Any]) -> "UserState":
        """The state that a `user_features` record states."""
        packed = record["recent_events"]
        return UserState(
            applied_offset=record["applied_offset"],
            as_of=record["as_of"],
            **record["history"],
            offsets=record["offsets"],
            seen=bytearray(record["seen"]),
            counts=record["counts"],
            recent={packed[start : start + DIGEST_BYTES]: None for start in range(0, len(packed), DIGEST_BYTES)},
        )


def digest_of(event_id: str) -> bytes:
    """8-byte BLAKE2b digest of an event id (RFC 7693)."""
    return hashlib.blake2b(event_id.encode(), digest_size=DIGEST_BYTES).digest()
