"""What is known of a user: the last interactions, counts, and which events it includes.

The state is the `user_features` record itself, its columns kept packed (eddy.contract.avro).
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
    """How much of a user is kept."""

    interactions: int = 100
    seen: int = 4000
    recent_events: int = REMEMBERED_EVENTS
    previous: int = 20


class UpdateResult(Enum):
    """What an event did to the state. REPLAYED: the state has it already, nothing changes."""

    APPLIED = 1
    DUPLICATE = 2
    ALREADY_APPLIED = 3


@dataclass(slots=True)
class UserState:
    """The state of one user.

    `items` are the item ids of the history, each packed; `actions` to `offsets` are packed columns parallel to it, oldest first.
    `valued`, a byte each, is parallel to the end of them: interactions from before it was kept have none. `seen` and `recent` are as in
    the record.
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
        """Include `event`. A duplicate moves `applied_offset` on and nothing else, so that readers see it is dealt with."""
        if event.offset <= self.applied_offset:
            return UpdateResult.ALREADY_APPLIED
        digest = digest_of(event.event_id) if event.event_id else b""
        if self._includes(digest):
            self.applied_offset = event.offset
            return UpdateResult.DUPLICATE
        self.recent = (self.recent + digest)[-DIGEST_BYTES * policy.recent_events :]
        self.as_of = event.at if self.applied_offset < 0 else max(self.as_of, event.at)
        self.applied_offset = event.offset
        self.counts[event.label] = self.counts.get(event.label, 0) + 1
        if event.positive and event.item_id is not None:
            self._append(event, event.item_id, policy)
        return UpdateResult.APPLIED

    def previous(self, item_id: str, limit: int) -> list[bytes]:
        """The last `limit` distinct items other than `item_id`, newest first, each packed."""
        found: dict[bytes, None] = {}
        this = pack_name(item_id)
        for other in reversed(self.items):
            if other != this:
                found[other] = None
                if len(found) == limit:
                    break
        return list(found)

    def _includes(self, digest: bytes) -> bool:
        """An event without an id has no digest, and nothing is its duplicate."""
        at = self.recent.find(digest) if digest else -1
        while at > 0 and at % DIGEST_BYTES:
            at = self.recent.find(digest, at + 1)
        return at >= 0

    def _append(self, event: CleanEvent, item_id: str, policy: UserPolicy) -> None:
        self.items.append(pack_name(item_id))
        self.actions += pack_name(event.action)
        self.scenarios += pack_name(event.scenario)
        self.values += FLOAT.pack(event.value)
        self.occurred_at += pack_long(event.at)
        self.valued += TRUE if event.valued else FALSE
        self.offsets += pack_long(event.offset)
        if len(self.items) > policy.interactions:
            self._forget_oldest(policy)

    def _forget_oldest(self, policy: UserPolicy) -> None:
        oldest, _ = read_bytes(self.items.pop(0), 0)
        self.seen = (self.seen + zlib.crc32(oldest).to_bytes(SEEN_BYTES, "little"))[-SEEN_BYTES * policy.seen :]
        self.actions = self.actions[first_string(self.actions) :]
        self.scenarios = self.scenarios[first_string(self.scenarios) :]
        self.values = self.values[FLOAT.size :]
        self.occurred_at = self.occurred_at[first_long(self.occurred_at) :]
        self.offsets = self.offsets[first_long(self.offsets) :]
        self.valued = self.valued[-len(self.items) :]

    def encode(self, user_id: str) -> bytes:
        """The `user_features` record of this state, in the single-object encoding."""
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
        """The state that a `user_features` record states. Raises DecodeError when it is none."""
        if record.startswith(_HEADER):
            try:
                return _read(record)
            except (IndexError, ValueError):
                pass
        return _of(Codec.of(UserFeatures).decode(record))


def digest_of(event_id: str) -> bytes:
    """8-byte BLAKE2b digest of an event id (RFC 7693)."""
    return hashlib.blake2b(event_id.encode(), digest_size=DIGEST_BYTES).digest()


def _read(record: bytes) -> UserState:
    _, at = read_bytes(record, HEADER_BYTES)
    applied_offset, at = read_long(record, at)
    as_of, at = read_long(record, at)
    columns: list[bytes] = []
    for _ in range(7):
        _, column, at = read_block(record, at)
        columns.append(column)
    seen, at = read_bytes(record, at)
    _, packed_counts, at = read_block(record, at)
    recent, at = read_bytes(record, at)
    if at != len(record):
        raise ValueError("bytes left over")
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
    at = 0
    while at < len(packed):
        label, at = read_bytes(packed, at)
        counts[label.decode()], at = read_long(packed, at)
    return counts


def _of(record: UserFeatures) -> UserState:
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
