"""A bounded sample of the inputs that the serving model was given last: a new release must have finite answers to them."""

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np

from eddy.contract.model import HISTORY
from eddy_scorer.core.state.arrays import F32, I64
from eddy_scorer.core.state.users import UserHistories

PROBED_USERS = 32
PROBED_CANDIDATES = 256
_PER_BATCH = 8  # users of a batch, and candidates of each of them


@dataclass(frozen=True, slots=True)
class _User:
    rows: I64
    actions: I64
    values: F32
    gaps: F32
    scenario: int


class Probe:
    """Recent histories and candidates, preceded by those that always exist: a user without history, features that are all 0 or 1.

    Written by the thread that serves, read by the one that loads releases.
    """

    def __init__(self, features: int) -> None:
        self._features = features
        self._lock = threading.Lock()
        self._users: deque[_User] = deque(maxlen=PROBED_USERS)
        self._candidates: deque[tuple[F32, int]] = deque(maxlen=PROBED_CANDIDATES)

    def note_users(self, histories: UserHistories, scenarios: I64) -> None:
        """Remember the first users of a batch. Actions are those of the scorer."""
        with self._lock:
            for row in range(min(_PER_BATCH, len(scenarios))):
                self._users.append(
                    _User(
                        histories.rows[row].copy(),
                        histories.actions[row].copy(),
                        histories.values[row].copy(),
                        histories.gaps[row].copy(),
                        int(scenarios[row]),
                    )
                )

    def note_candidates(self, features: F32, scenarios: I64) -> None:
        """Remember some candidates of the first users of a batch: `features` is [B, C, F] in the scorer's columns."""
        with self._lock:
            for row in range(min(_PER_BATCH, len(scenarios))):
                step = max(1, features.shape[1] // _PER_BATCH)
                self._candidates.extend((each.copy(), int(scenarios[row])) for each in features[row, ::step])

    def users(self, rows: int) -> tuple[UserHistories, I64]:
        """Histories of at least two users in a table of `rows` rows, and their scenarios."""
        with self._lock:
            users = list(self._users)
        nothing, none = np.zeros(HISTORY, np.int64), np.zeros(HISTORY, np.float32)
        last = nothing.copy()
        last[-1] = 1
        users = [_User(nothing, nothing, none, none, 0), _User(last, nothing, none, none, 0), *users]
        rows_of_users = np.stack([user.rows for user in users]) % rows
        histories = UserHistories(
            rows_of_users,
            np.stack([user.actions for user in users]),
            np.stack([user.values for user in users]),
            np.zeros_like(rows_of_users),
            np.stack([user.gaps for user in users]),
            rows_of_users > 0,
            (rows_of_users > 0).sum(axis=1),
        )
        return histories, np.array([user.scenario for user in users])

    def candidates(self) -> tuple[F32, I64]:
        """Features [2 or more, 1, F] of single candidates, and their scenarios."""
        with self._lock:
            noted = list(self._candidates)
        shape = self._features
        fixed = [np.full(shape, value, np.float32) for value in (0.0, 1.0)]
        rows = np.stack([*fixed, *(row for row, _ in noted)])[:, None]
        return rows, np.array([0, 0, *(scenario for _, scenario in noted)])
