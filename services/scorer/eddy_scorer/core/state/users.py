"""User histories: compact bytes per user, gathered into matrices for a batch."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np

from eddy.contract.actions import ACTION_ALIASES
from eddy.contract.columns import column_map
from eddy.contract.digests import DIGEST_BYTES, REJECTED_ENTRY, SEEN_ENTRY
from eddy.contract.model import ACTIONS, HISTORY
from eddy.contract.records import History, UserFeatures
from eddy.contract.scenarios import Scenario, Scenarios
from eddy.errors import PoisonError
from eddy_scorer.core.state.arrays import F32, I32, I64, Bool
from eddy_scorer.core.state.catalogue import Catalogue

_ENTRY = np.dtype(
    [("row", "<i4"), ("action", "u1"), ("scenario", "u1"), ("valued", "u1"), ("value", "<f4"), ("at", "<i8")]
)
_COLUMNS: tuple[Literal["actions", "scenarios", "values", "occurred_at"], ...] = (
    "actions",
    "scenarios",
    "values",
    "occurred_at",
)
_UNRECORDED = 2  # `valued` of an interaction without a record of it; otherwise 1 or 0
_REJECTION = np.dtype([("digest", "<u8"), ("at", "<i8")])
_NO_ROWS: I32 = np.zeros(0, np.int32)
_MS = 1000.0
MAX_NAMES = 256


class _SeenRows:
    """Cached rows of a user's seen items: `digest_rows` of the first `resolved` bytes of digests, and all `rows` as of `additions`, the
    number of items that the catalogue had admitted. Not to be used once the catalogue has retired rows, after `retirements`."""

    __slots__ = ("additions", "digest_rows", "resolved", "retirements", "rows")

    def __init__(self, retirements: int, digest_rows: I32 = _NO_ROWS, resolved: int = 0) -> None:
        self.retirements = retirements
        self.digest_rows = digest_rows
        self.resolved = resolved
        self.additions = 0
        self.rows: I32 | None = None


class User:
    """One user: the last HISTORY interactions, the items before those, and the offset up to which events are included.

    `digests` are those of all items, empty if the history has them all; `hashes` are CRC-32s of items in records of former versions;
    `rejected` are the packed entries of rejected items.

    There may be millions of users, so the object has few fields, and the seen rows are computed at the first request.
    """

    __slots__ = ("_seen", "applied_offset", "digests", "hashes", "older", "packed", "partition", "rejected")

    def __init__(
        self,
        packed: bytes,
        older: bytes,
        digests: bytes,
        hashes: bytes,
        applied_offset: int,
        partition: int,
        rejected: bytes = b"",
    ) -> None:
        self.packed = packed
        self.older = older
        self.digests = digests
        self.hashes = hashes
        self.applied_offset = applied_offset
        self.partition = partition
        self.rejected = rejected
        self._seen: _SeenRows | None = None

    def inherit_resolved(self, former: "User") -> None:
        """Keep the rows of digests that `former` has resolved, if `digests` starts with them."""
        seen = former._seen
        if seen and seen.resolved and self.digests.startswith(former.digests[: seen.resolved]):
            self._seen = _SeenRows(seen.retirements, seen.digest_rows, seen.resolved)

    def seen_rows(self, catalogue: Catalogue) -> I32:
        """The rows of all items that the user interacted with, each once."""
        seen = self._seen
        if seen is None or seen.retirements != catalogue.retirements:
            seen = self._seen = _SeenRows(catalogue.retirements)
        pending = seen.resolved < len(self.digests) or self.hashes
        if seen.rows is None or (pending and seen.additions != catalogue.additions):
            uncached = self._resolve(seen, catalogue)
            recent = np.frombuffer(self.packed, _ENTRY)["row"]
            older = np.frombuffer(self.older, np.int32)
            hashed = self._hashed_rows(catalogue)
            seen.rows = np.unique(np.concatenate([recent, older, seen.digest_rows, uncached, hashed]))
            seen.additions = catalogue.additions
        return seen.rows

    def history_rows(self) -> I64:
        """The rows that the history refers to."""
        recent = np.frombuffer(self.packed, _ENTRY)["row"]
        return np.concatenate([recent, np.frombuffer(self.older, np.int32)]).astype(np.int64)

    def rejected_rows(self, catalogue: Catalogue, since: int) -> I32:
        """The rows of the items that the user rejected at event time `since` (ms) or later, ascending."""
        entries = np.frombuffer(self.rejected, _REJECTION)
        rows = map(catalogue.row_of_digest, entries["digest"][entries["at"] >= since].tolist())
        return np.array(sorted(row for row in rows if row is not None), np.int32)

    def without(self, rows: I32) -> "User":
        """The user as if there had been no interaction with the items of `rows`, for what a history says about preferences."""
        entries = np.frombuffer(self.packed, _ENTRY)
        kept = entries[~np.isin(entries["row"], rows)]
        if len(kept) == len(entries):
            return self
        return User(kept.tobytes(), self.older, self.digests, self.hashes, self.applied_offset, self.partition)

    def _resolve(self, seen: _SeenRows, catalogue: Catalogue) -> I32:
        """Resolve digests to rows. Caches those before the first unknown item, and returns the known ones after it."""
        digests = np.frombuffer(self.digests, "<u8", offset=seen.resolved).tolist() if self.digests else []
        rows = [catalogue.row_of_digest(value) for value in digests]
        resolved = rows.index(None) if None in rows else len(rows)
        seen.digest_rows = np.concatenate([seen.digest_rows, np.array(rows[:resolved], np.int32)])
        seen.resolved += DIGEST_BYTES * resolved
        return np.array([row for row in rows[resolved:] if row is not None], np.int32)

    def _hashed_rows(self, catalogue: Catalogue) -> I32:
        rows = [catalogue.row_of_hash(value) for value in np.frombuffer(self.hashes, "<u4").tolist()]
        return np.array([row for row in rows if row is not None], np.int32)


UNKNOWN_USER = User(b"", b"", b"", b"", -1, -1)


@dataclass(frozen=True, slots=True)
class UserHistories:
    """Histories of a batch, oldest first, padded on the left: each [B, HISTORY]; `length` [B] counts the interactions.

    `occurred_at` is event time in milliseconds, `gaps` are seconds to the next interaction or the request. `rated` is True where the
    value is an explicit rating.
    """

    rows: I64
    actions: I64
    values: F32
    occurred_at: I64
    gaps: F32
    rated: Bool
    length: I64

    def select(self, indices: I64) -> "UserHistories":
        """The histories of the requests at `indices`."""
        return UserHistories(*(getattr(self, field.name)[indices] for field in fields(self)))


class NameTable:
    """Maps at most MAX_NAMES names to small numbers."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = list(names)
        self._numbers = {name: number for number, name in enumerate(self.names)}

    def number(self, name: str) -> int:
        """The number of `name`, new if it has none. Raises PoisonError for more than MAX_NAMES names."""
        number = self._numbers.get(name)
        if number is None:
            if len(self.names) >= MAX_NAMES:
                raise PoisonError(
                    "bad_features",
                    f"more than {MAX_NAMES} different actions or scenarios; the next one is {name[:100]!r}",
                )
            number = self._numbers[name] = len(self.names)
            self.names.append(name)
        return number


class UserStore:
    """All users of the partitions assigned to this instance."""

    def __init__(self, catalogue: Catalogue, scenarios: Scenarios) -> None:
        self._catalogue = catalogue
        # A former name of an action has the same head.
        self._actions, self._scenarios = NameTable((*ACTIONS, *ACTION_ALIASES)), NameTable(())
        heads = column_map(self._actions.names, ACTIONS, ACTION_ALIASES)
        self._heads: I64 = np.zeros(MAX_NAMES, np.int64)
        self._heads[: len(heads)] = 1 + np.array(heads)
        self._is_rating: Bool = np.zeros((MAX_NAMES, MAX_NAMES), bool)  # by numbers of scenario and action
        self._default_values: F32 = np.full((MAX_NAMES, MAX_NAMES), np.nan, np.float32)
        self._users: dict[str, User] = {}
        scenarios.subscribe(self._add_scenario)

    def _add_scenario(self, name: str, scenario: Scenario) -> None:
        number = self._scenarios.number(name)
        for action, rule in scenario.actions.items():
            key = number, self._actions.number(action)
            self._is_rating[key], self._default_values[key] = rule.explicit_rating, rule.normalise(None)

    def __len__(self) -> int:
        return len(self._users)

    def get(self, user_id: str) -> User:
        """The user, or UNKNOWN_USER."""
        return self._users.get(user_id, UNKNOWN_USER)

    def apply(self, record: UserFeatures, partition: int) -> User:
        """Apply a `user_features` record, unless a newer one was applied, and return the user.

        Raises PoisonError for a malformed record, and keeps the former state.
        """
        former = self._users.get(record["user_id"])
        if former is not None and former.partition == partition and former.applied_offset > record["applied_offset"]:
            return former
        packed, older = self._pack(record["history"])
        if len(record["seen"]) % 4:
            raise PoisonError(
                "bad_features",
                f"`seen` has {len(record['seen'])} bytes, but must be an array of uint32",
            )
        digests = _digests(record["seen_items"], len(set(record["history"]["item_ids"])))
        rejected = record["rejected_items"]
        if len(rejected) % REJECTED_ENTRY.size:
            raise PoisonError(
                "bad_features",
                f"`rejected_items` has {len(rejected)} bytes, but must have entries of {REJECTED_ENTRY.size} bytes",
            )
        user = User(packed, older, digests, record["seen"], record["applied_offset"], partition, rejected)
        if former is not None:
            user.inherit_resolved(former)
        self._users[record["user_id"]] = user
        return user

    @property
    def ids(self) -> list[str]:
        """All users."""
        return list(self._users)

    def forget(self, user_id: str) -> None:
        """Delete a user."""
        self._users.pop(user_id, None)

    def drop_partitions(self, is_dropped: Callable[[int], bool]) -> None:
        """Delete the users of the partitions for which `is_dropped` returns True."""
        self._users = {name: user for name, user in self._users.items() if not is_dropped(user.partition)}

    def gather(self, users: Sequence[User], requested_at: I64) -> UserHistories:
        """The histories of `users` as matrices; the gap of the last interaction is the time to `requested_at` [B]."""
        flat = np.frombuffer(b"".join([user.packed for user in users]), _ENTRY)
        length = np.array([len(user.packed) // _ENTRY.itemsize for user in users], np.int64)
        filled = np.arange(HISTORY) >= HISTORY - length[:, None]
        rows, actions, occurred_at = (np.zeros(filled.shape, np.int64) for _ in range(3))
        values, rated = np.zeros(filled.shape, np.float32), np.zeros(filled.shape, bool)
        rule, valued = (flat["scenario"], flat["action"]), flat["valued"]
        # Without a record of whether the event had a value, the action's default value counts as none.
        has_value = np.where(valued == _UNRECORDED, flat["value"] != self._default_values[rule], valued == 1)
        rated[filled] = self._is_rating[rule] & has_value
        rows[filled], values[filled], occurred_at[filled] = flat["row"], flat["value"], flat["at"]
        # An action without a head in the model is 0, as is padding.
        actions[filled] = self._heads[flat["action"]]
        following = np.concatenate([occurred_at[:, 1:], requested_at[:, None]], axis=1)
        gaps = np.where(filled, np.maximum(following - occurred_at, 0) / _MS, 0.0).astype(np.float32)
        return UserHistories(rows, actions, values, occurred_at, gaps, rated, length)

    def snapshot(self, user: User) -> History:
        """The user's last HISTORY interactions as a `history` record."""
        entries = np.frombuffer(user.packed, _ENTRY)
        ids, actions, scenarios = self._catalogue.ids, self._actions.names, self._scenarios.names
        return {
            "item_ids": list(map(ids.__getitem__, entries["row"].tolist())),
            "actions": list(map(actions.__getitem__, entries["action"].tolist())),
            "scenarios": list(map(scenarios.__getitem__, entries["scenario"].tolist())),
            "values": entries["value"].tolist(),
            "occurred_at": entries["at"].tolist(),
            "valued": entries["valued"][entries["valued"] != _UNRECORDED].astype(bool).tolist(),
        }

    def newest(self, user: User) -> tuple[str, int] | None:
        """Scenario and event time of the user's newest interaction."""
        entries = np.frombuffer(user.packed, _ENTRY)
        if not len(entries):
            return None
        return self._scenarios.names[int(entries["scenario"][-1])], int(entries["at"][-1])

    def _pack(self, history: History) -> tuple[bytes, bytes]:
        """The last HISTORY interactions as packed entries, and the rows of those before them."""
        count = len(history["item_ids"])
        lengths = [len(history[name]) for name in _COLUMNS]
        if any(length != count for length in lengths):
            raise PoisonError(
                "bad_features",
                f"the columns of `history` differ in length: {[count, *lengths]}",
            )
        valued = history["valued"][-HISTORY:]
        if len(history["valued"]) > count:
            raise PoisonError(
                "bad_features", f"`valued` of `history` has {len(history['valued'])} entries for {count} interactions"
            )
        rows = np.array(self._catalogue.ensure_rows(history["item_ids"]), np.int32)
        entries = np.empty(min(count, HISTORY), _ENTRY)
        entries["row"] = rows[-HISTORY:]
        entries["action"] = [self._actions.number(name) for name in history["actions"][-HISTORY:]]
        entries["scenario"] = [self._scenarios.number(name) for name in history["scenarios"][-HISTORY:]]
        entries["value"] = history["values"][-HISTORY:]
        entries["at"] = history["occurred_at"][-HISTORY:]
        entries["valued"] = [_UNRECORDED] * (len(entries) - len(valued)) + valued
        if not np.isfinite(entries["value"]).all():
            raise PoisonError("bad_features", "a value in `history` is not finite")
        return entries.tobytes(), rows[:-HISTORY].tobytes()


def _digests(seen_items: bytes, in_history: int) -> bytes:
    """The digests of a record's `seen_items`; empty if they are no more than the items `in_history`, which has them all then."""
    if len(seen_items) % SEEN_ENTRY.size:
        raise PoisonError(
            "bad_features",
            f"`seen_items` has {len(seen_items)} bytes, but must have entries of {SEEN_ENTRY.size} bytes",
        )
    if len(seen_items) <= in_history * SEEN_ENTRY.size:
        return b""
    return np.frombuffer(seen_items, np.uint8).reshape(-1, SEEN_ENTRY.size)[:, :DIGEST_BYTES].tobytes()
