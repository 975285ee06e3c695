"""The state of a user: last interactions by event time, items, ratings, counts, and the events that it includes.

The state holds the columns of the `user_features` record in packed form (eddy.contract.avro).
"""

from collections.abc import Sized
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from eddy.contract.avro.arrays import first_long, first_string, pack_array, read_block, split_longs, split_strings
from eddy.contract.avro.values import (
    FALSE,
    FLOAT,
    TRUE,
    pack_bytes,
    pack_long,
    pack_name,
    pack_string,
    read_bytes,
    read_long,
)
from eddy.contract.codec import HEADER_BYTES, Codec, frozen_header
from eddy.contract.digests import DIGEST_BYTES, digest_of
from eddy.contract.histories import NONE, place
from eddy.contract.limits import REMEMBERED_EVENTS
from eddy.contract.records import History, UserFeatures
from eddy.contract.trust import LogAge, age_start, knownness
from eddy.errors import DecodeError
from eddy_features.core.cleaning import CleanEvent
from eddy_features.core.item_tables import (
    LastRatings,
    RejectedItems,
    SeenItems,
    last_ratings,
    rejected_items,
    seen_items,
)
from eddy_features.core.shown_requests import ShownRequests

_HEADER = frozen_header("user_features", 7)  # the field order of `encode` and `_read`
_NEVER = -(2**63)


@dataclass(frozen=True)
class UserPolicy:
    """Numbers of interactions, of items (`seen`), of ratings, of rejected items, of event ids and of `previous` items per signal that are
    kept."""

    interactions: int = 100
    seen: int = 4000
    ratings: int = 1000
    rejected: int = 200
    recent_events: int = REMEMBERED_EVENTS
    previous: int = 20


class UpdateResult(Enum):
    """Effect of an event on a state. ALREADY_APPLIED: its offset is included, so nothing changes."""

    APPLIED = 1
    DUPLICATE = 2
    ALREADY_APPLIED = 3


class Update(NamedTuple):
    """Effect of an event on a state, and what it means for its item: `item_signals` has the same fields.

    `previous` are the items before it in event time, packed, newest first: none for an event that continues a run of its item.
    """

    result: UpdateResult
    previous: tuple[bytes, ...] = ()
    repeats: float = 0.0
    value: float | None = None
    former_value: float | None = None
    known: float = 1.0


_DUPLICATE, _ALREADY_APPLIED, _APPLIED = (
    Update(result) for result in (UpdateResult.DUPLICATE, UpdateResult.ALREADY_APPLIED, UpdateResult.APPLIED)
)


@dataclass(slots=True)
class UserState:
    """The state of one user.

    `items` are the packed item ids of the history, oldest first; `actions` to `offsets` are packed columns parallel to it, and `last_at` is
    the newest time among them. `valued` has one byte for each of the newest interactions, none for those that predate the column. `hashes`
    (the record's `seen`), `recent` and `age_start` are as in the record.
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
    hashes: bytes = b""
    counts: dict[str, int] = field(default_factory=dict)
    recent: bytes = b""
    seen: SeenItems = field(default_factory=SeenItems)
    ratings: LastRatings = field(default_factory=LastRatings)
    shown: ShownRequests = field(default_factory=ShownRequests)
    last_at: int = _NEVER
    rejected: RejectedItems = field(default_factory=RejectedItems)
    log_id: bytes = b""
    age_start: int = 0

    @property
    def is_new(self) -> bool:
        """Whether the state includes no event."""
        return self.applied_offset < 0

    def apply(self, event: CleanEvent, policy: UserPolicy, log: LogAge) -> Update:
        """Include `event` of a log with an age. A duplicate only advances `applied_offset`, so that readers know it was processed."""
        if event.offset <= self.applied_offset:
            return _ALREADY_APPLIED
        digest = digest_of(event.event_id) if event.event_id else b""
        if self._includes(digest):
            self.applied_offset = event.offset
            return _DUPLICATE
        self.recent = (self.recent + digest)[-DIGEST_BYTES * policy.recent_events :]
        log.advance(max(self.as_of, event.occurred_at))
        if self.is_new:
            self.age_start = age_start(event.occurred_at, log.clock)
        log.include(self.age_start)
        known = knownness(self.seen.count, log.clock - self.age_start, log.young)
        self.as_of = event.occurred_at if self.applied_offset < 0 else max(self.as_of, event.occurred_at)
        self.applied_offset = event.offset
        if not event.reversal:
            self.counts[event.label] = self.counts.get(event.label, 0) + 1
        update = Update(UpdateResult.APPLIED, known=known)
        if event.item_id is None:
            return update
        if event.positive:
            update = self._interact(event, event.item_id, policy, known)
        elif event.is_rating:
            self.seen.add(event.item_id, event.occurred_at, policy.seen)
            update = self._rate(event, event.item_id, policy)._replace(known=known)
        if event.rejects and not self.seen.is_newer(event.item_id, event.occurred_at):
            self.rejected.add(event.item_id, event.occurred_at, policy.rejected)
        return update

    def _interact(self, event: CleanEvent, item_id: str, policy: UserPolicy, known: float) -> Update:
        self.rejected.withdraw(item_id, event.occurred_at)
        repeats = self.seen.add(item_id, event.occurred_at, policy.seen)
        rating = self._rate(event, item_id, policy) if event.is_rating else _APPLIED
        packed = pack_name(item_id)
        if event.occurred_at >= self.last_at and not (self.items and self.items[-1] == packed):
            previous = self._previous_items(packed, len(self.items), policy.previous)
            self._append(event, packed, policy)
        else:
            previous = self._insert(event, packed, policy)
        return Update(UpdateResult.APPLIED, tuple(previous), repeats, rating.value, rating.former_value, known)

    def _rate(self, event: CleanEvent, item_id: str, policy: UserPolicy) -> Update:
        rating = self.ratings.add(event.scenario, item_id, event.occurred_at, event.value, policy.ratings)
        return Update(UpdateResult.APPLIED, value=event.value if rating.is_newest else None, former_value=rating.former)

    def _previous_items(self, packed: bytes, position: int, limit: int) -> list[bytes]:
        """The last `limit` distinct items before `position` of the history other than `packed`, newest first."""
        items: dict[bytes, None] = {}
        for other in reversed(self.items if position == len(self.items) else self.items[:position]):
            if other != packed:
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

    def _append(self, event: CleanEvent, packed: bytes, policy: UserPolicy) -> None:
        """Add the newest interaction, on another item than the one before."""
        self.items.append(packed)
        self.actions += pack_name(event.action)
        self.scenarios += pack_name(event.scenario)
        self.values += FLOAT.pack(event.value)
        self.occurred_at += pack_long(event.occurred_at)
        self.valued += TRUE if event.has_value else FALSE
        self.offsets += pack_long(event.offset)
        self.last_at = event.occurred_at
        if len(self.items) > policy.interactions:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        del self.items[0]
        self.actions = self.actions[first_string(self.actions) :]
        self.scenarios = self.scenarios[first_string(self.scenarios) :]
        self.values = self.values[FLOAT.size :]
        self.occurred_at = self.occurred_at[first_long(self.occurred_at) :]
        self.offsets = self.offsets[first_long(self.offsets) :]
        self.valued = self.valued[-len(self.items) :]

    def _insert(self, event: CleanEvent, packed: bytes, policy: UserPolicy) -> list[bytes]:
        """Add a late interaction, or one that continues a run, at its place. Returns the previous items, none within a run."""
        rows = _Rows(self)
        action = (pack_name(event.action), pack_name(event.scenario))
        times = [read_long(at, 0)[0] for at in rows.occurred_at]
        placement = place(event.occurred_at, packed, action, times, self.items, rows.actions)
        if placement is None:
            return []
        previous: list[bytes] = []
        position, replaces = placement
        if packed not in self.items[max(position - 1, 0) : position + 1]:
            previous = self._previous_items(packed, position, policy.previous)
        rows.insert(position, event, packed, action)
        if replaces != NONE:
            rows.drop(replaces)
        elif len(self.items) > policy.interactions:
            rows.drop(0)
        rows.store(self)
        self.last_at = max(self.last_at, event.occurred_at)
        return previous

    def encode(self, user_id: str) -> bytes:
        """Return the `user_features` record of this state in the single-object encoding."""
        count = len(self.items)
        counts = b"".join([pack_name(label) + pack_long(number) for label, number in self.counts.items()])
        return b"".join(
            [
                _HEADER,
                pack_string(user_id),
                pack_long(self.applied_offset),
                pack_long(self.as_of),
                pack_long(self.age_start),
                pack_array(count, b"".join(self.items)),
                pack_array(count, self.actions),
                pack_array(count, self.scenarios),
                pack_array(count, self.values),
                pack_array(count, self.occurred_at),
                pack_array(len(self.valued), self.valued),
                pack_array(count, self.offsets),
                pack_bytes(self.hashes),
                pack_array(len(self.counts), counts),
                pack_bytes(self.recent),
                pack_bytes(self.seen.packed),
                pack_bytes(self.ratings.packed),
                pack_bytes(self.rejected.packed),
                pack_bytes(self.shown.packed),
                pack_bytes(self.log_id),
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


class _Rows:
    """The columns of a history as lists of packed values; `items` are those of the state, changed in place."""

    def __init__(self, state: UserState) -> None:
        count = len(state.items)
        self.items = state.items
        self.actions = list(zip(split_strings(state.actions), split_strings(state.scenarios), strict=True))
        self.values = [state.values[start : start + FLOAT.size] for start in range(0, len(state.values), FLOAT.size)]
        self.occurred_at, self.offsets = split_longs(state.occurred_at), split_longs(state.offsets)
        self.valued = [b""] * (count - len(state.valued)) + [state.valued[i : i + 1] for i in range(len(state.valued))]
        self._columns: tuple[list[Any], ...] = (
            self.items,
            self.actions,
            self.values,
            self.occurred_at,
            self.offsets,
            self.valued,
        )

    def insert(self, position: int, event: CleanEvent, packed: bytes, action: tuple[bytes, bytes]) -> None:
        entry = (
            packed,
            action,
            FLOAT.pack(event.value),
            pack_long(event.occurred_at),
            pack_long(event.offset),
            TRUE if event.has_value else FALSE,
        )
        for column, value in zip(self._columns, entry, strict=True):
            column.insert(position, value)

    def drop(self, position: int) -> None:
        for column in self._columns:
            del column[position]

    def sort(self, times: list[int]) -> None:
        """Put the rows in the order of `times`, equal ones as they are."""
        order = sorted(range(len(times)), key=times.__getitem__)
        for column in self._columns:
            column[:] = [column[index] for index in order]

    def store(self, state: UserState) -> None:
        state.actions = b"".join([action for action, _ in self.actions])
        state.scenarios = b"".join([scenario for _, scenario in self.actions])
        state.values, state.occurred_at = b"".join(self.values), b"".join(self.occurred_at)
        state.offsets = b"".join(self.offsets)
        # The column covers the newest interactions: nothing is recorded before one that predates it.
        state.valued = _covered(self.valued)


def _covered(valued: list[bytes]) -> bytes:
    """The entries after the last interaction that predates the column."""
    first = max((index + 1 for index, each in enumerate(valued) if not each), default=0)
    return b"".join(valued[first:])


def _from_packed(record: bytes) -> UserState:
    _, position = read_bytes(record, HEADER_BYTES)
    applied_offset, position = read_long(record, position)
    as_of, position = read_long(record, position)
    age_start, position = read_long(record, position)
    columns: list[bytes] = []
    lengths: list[int] = []
    for _ in range(7):
        length, column, position = read_block(record, position)
        columns.append(column)
        lengths.append(length)
    hashes, position = read_bytes(record, position)
    _, packed_counts, position = read_block(record, position)
    recent, position = read_bytes(record, position)
    seen, position = read_bytes(record, position)
    ratings, position = read_bytes(record, position)
    rejected, position = read_bytes(record, position)
    shown, position = read_bytes(record, position)
    log_id, position = read_bytes(record, position)
    if position != len(record):
        raise ValueError(f"{len(record) - position} bytes after the end of the record")
    _check_lengths(lengths)
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
        hashes,
        _counts(packed_counts),
        recent,
        seen_items(seen),
        last_ratings(ratings),
        ShownRequests.of_record(shown),
        _last_long(occurred_at),
        rejected_items(rejected),
        log_id,
        age_start,
    )


def _last_long(packed: bytes) -> int:
    """The last of packed longs, _NEVER for none."""
    start = len(packed) - 1
    while start > 0 and packed[start - 1] >= 0x80:
        start -= 1
    return read_long(packed, start)[0] if packed else _NEVER


def _counts(packed: bytes) -> dict[str, int]:
    counts: dict[str, int] = {}
    position = 0
    while position < len(packed):
        label, position = read_bytes(packed, position)
        counts[label.decode()], position = read_long(packed, position)
    return counts


def _check_lengths(lengths: list[int]) -> None:
    """Raise DecodeError unless the columns of a history, in the order of the record, belong together."""
    *columns, valued, offsets = lengths
    if {*columns, offsets} != {columns[0]} or valued > columns[0]:
        raise DecodeError(f"user_features: the columns of the history differ in length: {lengths}")


def _from_fields(record: UserFeatures) -> UserState:
    history = record["history"]
    columns: tuple[Sized, ...] = (
        history["item_ids"],
        history["actions"],
        history["scenarios"],
        history["values"],
        history["occurred_at"],
        history["valued"],
        record["offsets"],
    )
    _check_lengths(list(map(len, columns)))
    state = UserState(
        applied_offset=record["applied_offset"],
        as_of=record["as_of"],
        items=[pack_name(item_id) for item_id in history["item_ids"]],
        actions=b"".join(map(pack_name, history["actions"])),
        scenarios=b"".join(map(pack_name, history["scenarios"])),
        values=b"".join(map(FLOAT.pack, history["values"])),
        occurred_at=b"".join(map(pack_long, history["occurred_at"])),
        valued=bytes(history["valued"]),
        offsets=b"".join(map(pack_long, record["offsets"])),
        hashes=record["seen"],
        counts=record["counts"],
        recent=record["recent_events"],
        seen=seen_items(record["seen_items"]),
        ratings=last_ratings(record["ratings"]),
        shown=ShownRequests.of_record(record["shown"]),
        last_at=max(history["occurred_at"], default=_NEVER),
        rejected=rejected_items(record["rejected_items"]),
        log_id=record["log_id"],
        age_start=record["age_start"],
    )
    if not state.seen.packed:
        _complete(state, history)
    return state


def _complete(state: UserState, history: History) -> None:
    """Continue a record of a former version: its history is in order of arrival, and it has no table of items."""
    for item_id, at in zip(history["item_ids"], history["occurred_at"], strict=True):
        state.seen.add(item_id, at, len(history["item_ids"]))
    rows = _Rows(state)
    rows.sort(history["occurred_at"])
    rows.store(state)
