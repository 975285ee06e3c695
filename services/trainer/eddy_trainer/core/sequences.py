"""Interaction sequences of users, from which training windows are sampled.

Built from `next_item` examples in the order of their partition. A sequence is in event time, like the history that serves (the rule is in
eddy.contract.histories): a late interaction is inserted at its place, and a run of one item is one interaction.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eddy.contract.histories import NONE, place
from eddy.contract.model import HISTORY

SEQUENCE_LENGTH = 200
FIRST_CAPACITY = 1024

COLUMNS: dict[str, Any] = {
    "rows": np.int64,
    "actions": np.int8,
    "scenarios": np.int8,
    "values": np.float16,
    "at": np.int64,
    "age_start": np.int64,
    "taught": np.int8,
    "number": np.int64,
}

_NOTHING = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class SequenceEntry:
    """One interaction: item row, 1 + action index (0 for one without a head), scenario id, value 0..1, event time in ms.

    `taught`: whether it is the target of training (eddy_trainer.core.budgets); otherwise it is history alone. `age_start`: the time from
    which its user's age counts if it is the first one (eddy.contract.trust); 0 counts as long ago.
    """

    row: int
    action: int
    scenario: int
    value: float
    at: int
    taught: bool = True
    age_start: int = 0


@dataclass(frozen=True, slots=True)
class Past:
    """A user's last interactions, in no particular order: rows, times, and age_starts as in `SequenceEntry`."""

    rows: NDArray[np.int64]
    times: NDArray[np.int64]
    age_starts: NDArray[np.int64]


NO_PAST = Past(_NOTHING, _NOTHING, _NOTHING)


@dataclass(frozen=True, slots=True)
class Sequences:
    """Right-aligned windows of U users: inputs [U, L], L at most HISTORY, and the item that followed each input. Row 0 is padding.

    The position before a user's very first interaction is padding with a target, which trains the answer to an empty history.
    """

    rows: NDArray[np.int64]
    actions: NDArray[np.int64]
    values: NDArray[np.float32]
    gaps: NDArray[np.float32]  # seconds to the target
    targets: NDArray[np.int64]  # 0 for none, and for an interaction that is not taught
    numbers: NDArray[np.int64]  # of the targets, in the order of arrival
    scenarios: NDArray[np.int64]  # of the targets
    earlier: NDArray[np.int64]  # [U, SEQUENCE_LENGTH - L - 1] rows before the window, for "seen"


class SequenceStore:
    """The last SEQUENCE_LENGTH interactions of up to `max_users` users. A new user replaces the one who was inactive longest."""

    def __init__(self, max_users: int) -> None:
        self._max_users = max_users
        self._slot_of: OrderedDict[str, int] = OrderedDict()
        self._users: list[str] = []  # by slot
        self._count = np.zeros(0, np.int64)
        self._teaching = np.zeros(0, bool)  # users with an interaction that is taught
        self.appended = 0  # interactions so far; the next one gets this number
        self._columns = {name: np.zeros((0, SEQUENCE_LENGTH), kind) for name, kind in COLUMNS.items()}

    def __len__(self) -> int:
        return len(self._slot_of)

    def __contains__(self, user_id: str) -> bool:
        return user_id in self._slot_of

    def slot_of(self, user_id: str) -> int:
        """Return the slot of a user's sequence. Raises KeyError for an unknown user."""
        return self._slot_of[user_id]

    def append(self, user_id: str, entries: Iterable[SequenceEntry]) -> int:
        """Add interactions to a user's sequence; returns the user's slot."""
        slot = self._slot(user_id)
        for entry in entries:
            last = (self._count[slot] - 1) % SEQUENCE_LENGTH
            follows = entry.at >= self._columns["at"][slot, last] and entry.row != self._columns["rows"][slot, last]
            if follows or not self._count[slot]:
                self._write(slot, self._count[slot] % SEQUENCE_LENGTH, entry)
                self._count[slot] += 1
            else:
                self._insert(slot, entry)
            self._teaching[slot] |= entry.taught
            self.appended += 1
        return slot

    def _write(self, slot: int, index: int, entry: SequenceEntry) -> None:
        self._columns["rows"][slot, index] = entry.row
        self._columns["actions"][slot, index] = entry.action
        self._columns["scenarios"][slot, index] = entry.scenario
        self._columns["values"][slot, index] = entry.value
        self._columns["at"][slot, index] = entry.at
        self._columns["age_start"][slot, index] = entry.age_start
        self._columns["taught"][slot, index] = entry.taught
        self._columns["number"][slot, index] = self.appended

    def _insert(self, slot: int, entry: SequenceEntry) -> None:
        """Add an interaction that is late, or on the item of the last one."""
        count = int(self._count[slot])
        ring = np.arange(max(0, count - SEQUENCE_LENGTH), count) % SEQUENCE_LENGTH
        times, rows, actions, scenarios = (
            self._columns[name][slot, ring].tolist() for name in ("at", "rows", "actions", "scenarios")
        )
        kinds = list(zip(actions, scenarios, strict=True))
        placement = place(entry.at, entry.row, (entry.action, entry.scenario), times, rows, kinds)
        if placement is None or (not placement.position and len(ring) == SEQUENCE_LENGTH):
            return
        position, replaces = placement
        if replaces == NONE:  # later interactions move on; of a full ring the first is overwritten
            start, step = position, 1
            self._count[slot] += 1
        else:  # interactions in between move back
            start, step = replaces + 1, -1
        moved = np.arange(start, len(ring) if step > 0 else position) + count - len(ring)
        for column in self._columns.values():
            column[slot, (moved + step) % SEQUENCE_LENGTH] = column[slot, moved % SEQUENCE_LENGTH]
        self._write(slot, (position - (step < 0) + count - len(ring)) % SEQUENCE_LENGTH, entry)

    def remove_items(self, rows: NDArray[np.int64]) -> None:
        """Remove all interactions with the items of `rows`, as if they had not happened."""
        used = self._columns["rows"][: len(self)]
        hit = np.isin(used, rows)
        for slot in np.flatnonzero(hit.any(axis=1)).tolist():
            indices, valid = self._ring_indices(np.array([slot]), np.zeros(1, np.int64))
            kept = indices[0][valid[0] & ~hit[slot, indices[0]]]
            for values in self._columns.values():
                values[slot, : len(kept)] = values[slot, kept]
                values[slot, len(kept) :] = 0
            self._count[slot] = len(kept)
            self._teaching[slot] = (self._columns["taught"][slot] > 0).any()

    def inactive_since(self, at: int) -> list[str]:
        """Return the users without interactions from `at` on."""
        newest = self._columns["at"][: len(self)].max(axis=1, initial=0)
        return [self._users[slot] for slot in np.flatnonzero(newest < at).tolist()]

    def is_mentioned(self, rows: int, since: int) -> NDArray[np.bool_]:
        """Return which of the first `rows` rows of items have interactions from `since` on."""
        mentioned = np.zeros(rows, bool)
        used = slice(0, len(self))
        mentioned[self._columns["rows"][used][self._columns["at"][used] >= since]] = True
        return mentioned

    def forget(self, user_id: str) -> tuple[int, int] | None:
        """Erase a user's sequence. Returns the user's slot and the last slot, whose sequence is now in the former; None if unknown."""
        slot = self._slot_of.pop(user_id, None)
        if slot is None:
            return None
        last, moved = len(self._users) - 1, self._users.pop()
        if slot != last:
            self._users[slot] = moved
            self._slot_of[moved] = slot
            self._count[slot], self._teaching[slot] = self._count[last], self._teaching[last]
            for values in self._columns.values():
                values[slot] = values[last]
        self._clear(last)
        return slot, last

    def sample(self, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """Return the slots of `count` distinct random users, of those with interactions that are taught."""
        teaching = np.flatnonzero(self._teaching[: len(self)])
        slots: NDArray[np.int64] = generator.choice(teaching, min(count, len(teaching)), replace=False)
        return slots

    def past(self, user_id: str) -> Past:
        """Return a user's last interactions; empty for an unknown user."""
        slot = self._slot_of.get(user_id)
        if slot is None:
            return NO_PAST
        kept = min(int(self._count[slot]), SEQUENCE_LENGTH)
        return Past(*(self._columns[name][slot, :kept] for name in ("rows", "at", "age_start")))

    def unteach(self, since: int) -> None:
        """Stop teaching the interactions from number `since` on. They stay part of their users' histories."""
        used = slice(0, len(self))
        taught, number = self._columns["taught"], self._columns["number"]
        taught[used] &= number[used] < since
        self._teaching[used] = taught[used].any(axis=1)

    def latest(self, count: int) -> NDArray[np.int64]:
        """Return the slots of the most recently active users."""
        return np.fromiter(islice(reversed(self._slot_of.values()), count), np.int64)

    def windows(self, slots: NDArray[np.int64], back: NDArray[np.int64] | int = 0) -> Sequences:
        """Return windows of these users that end `back` interactions before their last one."""
        indices, valid = self._ring_indices(slots, np.broadcast_to(back, slots.shape))
        column = {name: values[slots[:, None], indices] * valid for name, values in self._columns.items()}
        rows, at = column["rows"], column["at"]
        length = int(np.clip(valid.sum(axis=1).max(initial=1), 1, HISTORY))
        inputs, targets = (
            slice(SEQUENCE_LENGTH - length - 1, SEQUENCE_LENGTH - 1),
            slice(SEQUENCE_LENGTH - length, SEQUENCE_LENGTH),
        )
        gaps = (at[:, targets] - at[:, inputs]) / 1000.0 * (rows[:, inputs] > 0)
        return Sequences(
            rows=rows[:, inputs],
            actions=column["actions"][:, inputs].astype(np.int64),
            values=column["values"][:, inputs].astype(np.float32),
            gaps=np.maximum(gaps, 0).astype(np.float32),
            targets=rows[:, targets] * (column["taught"][:, targets] > 0),
            numbers=column["number"][:, targets],
            scenarios=column["scenarios"][:, targets].astype(np.int64),
            earlier=rows[:, : SEQUENCE_LENGTH - length - 1],
        )

    def state(self) -> dict[str, object]:
        """Return everything that a checkpoint needs. Keys are part of the checkpoint format."""
        used = len(self)
        return {
            "users": list(self._users),
            "count": self._count[:used],
            "appended": self.appended,
            **{name: values[:used] for name, values in self._columns.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore from the result of `state`."""
        users = state["users"]
        if isinstance(users, dict):  # a former version: slots by user, the one inactive longest first
            self._slot_of = OrderedDict(users)
        else:
            newest = np.asarray(state["number"]).reshape(len(users), SEQUENCE_LENGTH).max(axis=1, initial=0)
            self._slot_of = OrderedDict((users[slot], slot) for slot in np.argsort(newest, kind="stable").tolist())
        self._users = sorted(self._slot_of, key=self._slot_of.__getitem__)
        used = len(self._slot_of)
        self._resize(max(FIRST_CAPACITY, used))
        self._count[:used] = state["count"]
        self.appended = state.get("appended", 0)
        for name, values in self._columns.items():
            # Checkpoints from before there were budgets taught every interaction.
            values[:used] = state.get(name, int(name == "taught"))
        self._teaching[:used] = (self._columns["taught"][:used] > 0).any(axis=1)

    def rewindable(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of interactions of each user before their last window: the maximum of `back`."""
        kept: NDArray[np.int64] = np.minimum(self._count[slots], SEQUENCE_LENGTH)
        return np.maximum(kept - HISTORY, 0)

    def _ring_indices(
        self, slots: NDArray[np.int64], back: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the ring-buffer indices of the last SEQUENCE_LENGTH interactions, oldest first, and which of them exist."""
        count = self._count[slots][:, None]
        number = np.arange(-SEQUENCE_LENGTH, 0)[None, :] + count - back[:, None]
        return number % SEQUENCE_LENGTH, (number >= 0) & (number >= count - SEQUENCE_LENGTH)

    def _slot(self, user_id: str) -> int:
        slot = self._slot_of.get(user_id)
        if slot is None:
            slot = self._free_slot()
            self._slot_of[user_id] = slot
            if slot == len(self._users):
                self._users.append(user_id)
            self._users[slot] = user_id
        self._slot_of.move_to_end(user_id)
        return slot

    def _free_slot(self) -> int:
        if len(self._slot_of) < self._max_users:
            if len(self._slot_of) == len(self._count):
                self._resize(max(FIRST_CAPACITY, 2 * len(self._count)))
            return len(self._slot_of)
        _, slot = self._slot_of.popitem(last=False)
        self._clear(slot)
        return slot

    def _clear(self, slot: int) -> None:
        self._count[slot] = 0
        self._teaching[slot] = False
        for values in self._columns.values():
            values[slot] = 0

    def _resize(self, capacity: int) -> None:
        kept = min(len(self._count), capacity)
        self._count = np.concatenate([self._count[:kept], np.zeros(capacity - kept, np.int64)])
        self._teaching = np.concatenate([self._teaching[:kept], np.zeros(capacity - kept, bool)])
        for name, values in self._columns.items():
            self._columns[name] = np.concatenate(
                [values[:kept], np.zeros((capacity - kept, SEQUENCE_LENGTH), values.dtype)]
            )
