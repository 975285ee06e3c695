"""The two clocks of a partition, and what is due by them.

Broker time is the append time of the user-events log; no device can move it. Event time is the newest `occurred_at` that two users have
reached, so that no single device can move it either; a live event also moves it, by as much time as has passed at the broker. A live
record, one whose own time is close to its append time, is joined by broker time. A record that is older than that is replayed: its log
advances a month in a minute, and is joined by event time.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeAlias, TypeVar

from eddy.contract.limits import MAX_LIVE_AGE_MS

NEVER = -(2**63)

BROKER, EVENT = 0, 1
TIMELINES = (BROKER, EVENT)
# One time for each timeline, in ms.
Times: TypeAlias = tuple[int, int]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ReachedTimes:
    """The newest event time of a log, the digest of its user, and the newest one that others confirm."""

    user: int = 0
    newest: int = NEVER
    others: int = NEVER

    def after(self, user: int, at: int) -> "ReachedTimes":
        """The times after an event of this user."""
        if at <= self.newest:
            return self if user == self.user or at <= self.others else ReachedTimes(self.user, self.newest, at)
        return ReachedTimes(user, at, self.others if user == self.user else self.newest)

    def confirmed(self, at: int, passed_ms: int) -> "ReachedTimes":
        """The times after a live event, before which `passed_ms` have passed at the broker: it confirms as much."""
        confirmed = min(at, self.others + passed_ms)
        return self if confirmed <= self.others else ReachedTimes(self.user, self.newest, confirmed)


def timeline_of(own_ms: int, appended_ms: int) -> int:
    """The timeline of a record with this time of its own. A time ahead of the append time is that of a wrong clock, so the log is live."""
    return BROKER if own_ms >= appended_ms - MAX_LIVE_AGE_MS else EVENT


@dataclass
class Timeline(Generic[T]):
    """A clock and its deadlines. `clock` is that of the log; the watermark is ahead of it while the partition is idle.

    What was due before `rebuild_until` has been written before a restart.
    """

    clock: int = NEVER
    rebuild_until: int = NEVER
    _idle_clock: int = NEVER
    _deadlines: list[tuple[int, int, T]] = field(default_factory=list)
    _sequence: Iterator[int] = field(default_factory=count)

    @property
    def watermark(self) -> int:
        """The time that windows close at."""
        return max(self.clock, self._idle_clock)

    def advance(self, to: int) -> bool:
        """Advance the clock with the log; returns whether it moved. It continues at the time of the log after an idle period."""
        self._idle_clock = NEVER
        moved = to > self.clock
        if moved:
            self.clock = to
        return moved

    def idle(self, until: int) -> None:
        """Advance the watermark of an idle partition."""
        if until > self.watermark:
            self._idle_clock = until

    def schedule(self, due: int, entry: T) -> None:
        """Let `overdue` return the entry once a time after `due` has come."""
        heapq.heappush(self._deadlines, (due, next(self._sequence), entry))

    def overdue(self, now: int) -> Iterator[tuple[int, T]]:
        """Remove and return what was due before `now`, in order, each with its time."""
        while self._deadlines and self._deadlines[0][0] < now:
            due, _, entry = heapq.heappop(self._deadlines)
            yield due, entry

    def scheduled(self) -> Iterator[T]:
        """All entries with a deadline, in no order."""
        for _, _, entry in self._deadlines:
            yield entry
