"""The state of a user: last interactions, counts, and the events that it includes.

The state holds the columns of the `user_features` record in packed form (eddy.contract.avro).
"""

import hashlib
import zlib
from dataclasses import dataclass, field
from enum import Enum

from eddy.contract.avro.arrays import first_long, first_string, pack_array, read_block, split_strings
from eddy.contract.avro.values import FALSE, FLOAT, TRUE, pack_bytes, pack_long, pack_name, read_bytes, read_long
from eddy.contract.codec import HEADER_BYTES, Codec, frozen_header
from eddy.contract.limits import REMEMBERED_EVENTS
from eddy.contract.records import UserFeatures
from eddy_features.core.cleaning import CleanEvent

DIGEST_BYTES = 8
SEEN_BYTES = 4
_HEADER = frozen_header("user_features", 2)  # the field order of `encode` and `_read`


@dataclass(frozen=True)
class UserPolicy:
    """Numbers of interactions, of older item hashes (`seen`), of event ids and of `previous` items per signal that are kept."""

    interactions: int = 100
    seen: int = 4000
    recent_events: int = REMEMBERED_EVENTS
    previous: int = 20


class UpdateResult(Enum):
    """Effect of an event on a state. ALREADY_APPLIED: its offset is included, so nothing changes."""

    APPLIED = 1
    DUPLICATE = 2
    ALREADY_APPLIED = 3


@dataclass(slots=True)
class UserState:
    """The state of one user.

    `items` are the packed item ids of the history, oldest first; `actions` to `offsets` are packed columns parallel to it. `valued` has one
    byte for each of the newest interactions, none for those that predate the column. `seen` and `recent` are as in the record.
    """

    applied_offset: int = -1
    as_of: int = 0
    items: list[bytes] = field(default_factory=list)
    actions: bytes = b""
    scenarios: bytes = b""
    values: bytes = b""
    occurred_at: bytes = b""
    valued: bytes = b""
    offsets: bytes = b""
    seen: bytes = b""
    counts: dict[str, int] = field(default_factory=dict)
    recent: bytes = b""

    def apply(self, event: CleanEvent, policy: UserPolicy) -> UpdateResult:
        """Include `event`. A duplicate only advances `applied_offset`, so that readers know it was processed."""
        if event.offset <= self.applied_offset:
            return UpdateResult.ALREADY_APPLIED
        digest = event_digest(event.event_id) if event.event_id else b""
        if self._includes(digest):
            self.applied_offset = event.offset
            return UpdateResult.DUPLICATE
        self.recent = (self.recent + digest)[-DIGEST_BYTES * policy.recent_events :]
        self.as_of = event.occurred_at if self.applied_offset < 0 else max(self.as_of, event.occurred_at)
        self.applied_offset = event.offset
        if not event.reversal:
            self.counts[event.label] = self.counts.get(event.label, 0) + 1
        if event.positive and event.item_id is not None:
            self._append(event, event.item_id, policy)
        return UpdateResult.APPLIED

    def previous_items(self, item_id: str, limit: int) -> list[bytes]:
        """Return the last `limit` distinct items other than `item_id`, packed, newest first."""
        items: dict[bytes, None] = {}
        current = pack_name(item_id)
        for other in reversed(self.items):
            if other != current:
                items[other] = None
                if len(items) == limit:
                    break
        return list(items)

    def _includes(self, digest: bytes) -> bool:
        """Whether a recent event has this digest. False for an empty digest: events without an id are never duplicates."""
        position = self.recent.find(digest) if digest else -1
        while position > 0 and position % DIGEST_BYTES:
            position = self.recent.find(digest, position + 1)
        return position >= 0

    def _append(self, event: CleanEvent, item_id: str, policy: UserPolicy) -> None:
        self.items.append(pack_name(item_id))
        self.actions += pack_name(event.action)
        self.scenarios += pack_name(event.scenario)
        self.values += FLOAT.pack(event.value)
        self.occurred_at += pack_long(event.occurred_at)
        self.valued += TRUE if event.has_value else FALSE
        self.offsets += pack_long(event.offset)
        if len(self.items) > policy.interactions:
            self._drop_oldest(policy)

    def _drop_oldest(self, policy: UserPolicy) -> None:
        oldest, _ = read_bytes(self.items.pop(0), 0)
        self.seen = (self.seen + zlib.crc32(oldest).to_bytes(SEEN_BYTES, "little"))[-SEEN_BYTES * policy.seen :]
        self.actions = self.actions[first_string(self.actions) :]
        self.scenarios = self.scenarios[first_string(self.scenarios) :]
        self.values = self.values[FLOAT.size :]
        self.occurred_at = self.occurred_at[first_long(self.occurred_at) :]
        self.offsets = self.offsets[first_long(self.offsets) :]
        self.valued = self.valued[-len(self.items) :]

    def encode(self, user_id: str) -> bytes:
        """Return the `user_features` record of this state in the single-object encoding."""
        count = len(self.items)
        counts = b"".join([pack_name(label) + pack_long(number) for label, number in self.counts.items()])
        return b"".join(
            [
                _HEADER,
                pack_name(user_id),
                pack_long(self.applied_offset),
                pack_long(self.as_of),
                pack_array(count, b"".join(self.items)),
                pack_array(count, self.actions),
                pack_array(count, self.scenarios),
                pack_array(count, self.values),
                pack_array(count, self.occurred_at),
                pack_array(len(self.valued), self.valued),
                pack_array(count, self.offsets),
                pack_bytes(self.seen),
                pack_array(len(self.counts), counts),
                pack_bytes(self.recent),
            ]
        )

    @staticmethod
    def decode(record: bytes) -> "UserState":
        """Return the state of a `user_features` record. Raises DecodeError for other bytes."""
        if record.startswith(_HEADER):
            try:
                return _from_packed(record)
            except (IndexError, ValueError):
                pass
        return _from_fields(Codec.of(UserFeatures).decode(record))


def event_digest(event_id: str) -> bytes:
    """8-byte BLAKE2b digest of an event id (RFC 7693)."""
    return hashlib.blake2b(event_id.encode(), digest_size=DIGEST_BYTES).digest()


def _from_packed(record: bytes) -> UserState:
    _, position = read_bytes(record, HEADER_BYTES)
    applied_offset, position = read_long(record, position)
    as_of, position = read_long(record, position)
    columns: list[bytes] = []
    for _ in range(7):
        _, column, position = read_block(record, position)
        columns.append(column)
    seen, position = read_bytes(record, position)
    _, packed_counts, position = read_block(record, position)
    recent, position = read_bytes(record, position)
    if position != len(record):
        raise ValueError(f"{len(record) - position} bytes after the end of the record")
    items, actions, scenarios, values, occurred_at, valued, offsets = columns
    return UserState(
        applied_offset,
        as_of,
        split_strings(items),
        actions,
        scenarios,
        values,
        occurred_at,
        valued,
        offsets,
        seen,
        _counts(packed_counts),
        recent,
    )


def _counts(packed: bytes) -> dict[str, int]:
    counts: dict[str, int] = {}
    position = 0
    while position < len(packed):
        label, position = read_bytes(packed, position)
        counts[label.decode()], position = read_long(packed, position)
    return counts


def _from_fields(record: UserFeatures) -> UserState:
    history = record["history"]
    return UserState(
        applied_offset=record["applied_offset"],
        as_of=record["as_of"],
        items=[pack_name(item_id) for item_id in history["item_ids"]],
        actions=b"".join(map(pack_name, history["actions"])),
        scenarios=b"".join(map(pack_name, history["scenarios"])),
        values=b"".join(map(FLOAT.pack, history["values"])),
        occurred_at=b"".join(map(pack_long, history["occurred_at"])),
        valued=bytes(history["valued"]),
        offsets=b"".join(map(pack_long, record["offsets"])),
        seen=record["seen"],
        counts=record["counts"],
        recent=record["recent_events"],
    )
