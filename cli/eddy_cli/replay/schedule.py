"""Selects the next events to play: many users at once, each user's events in order, with bounded time skew."""

from collections import deque
from collections.abc import Callable, Sequence


class Schedule:
    """Admits events in global time order and starts those whose user is idle.

    `users` and `times_ms` describe the stream, oldest first; `users` are dense indices. An event is admitted once it lies within
    `window` events and `max_skew_ms` of event time of the oldest unfinished one. A user's events start one after another.
    """

    def __init__(self, users: Sequence[int], times_ms: Sequence[int], window: int, max_skew_ms: int) -> None:
        if window < 1 or max_skew_ms < 0:
            raise ValueError("window must be at least 1 and max_skew_ms at least 0")
        self._users = users
        self._times = times_ms
        self._window = window
        self._skew = max_skew_ms
        self._done = bytearray(len(users))
        self._waiting: dict[int, deque[int]] = {}  # per busy user: admitted events behind the one in flight
        self._next = 0
        self._played = 0
        self.oldest = 0

    @property
    def finished(self) -> bool:
        """Whether every event has been played."""
        return self.oldest == len(self._users)

    def admit(self, until_ms: float = float("inf")) -> list[int]:
        """Events that may start now, up to event time `until_ms`. Each event is returned once, here or by `finish`."""
        ready: list[int] = []
        while self._next < self._limit() and self._times[self._next] <= until_ms:
            index = self._next
            self._next += 1
            queue = self._waiting.get(self._users[index])
            if queue is None:
                self._waiting[self._users[index]] = deque()
                ready.append(index)
            else:
                queue.append(index)
        return ready

    def finish(self, index: int) -> int | None:
        """Mark `index` as played; returns its user's next admitted event, if any, which may start."""
        self._done[index] = 1
        self._played += 1
        while self.oldest < len(self._done) and self._done[self.oldest]:
            self.oldest += 1
        queue = self._waiting[self._users[index]]
        if queue:
            return queue.popleft()
        del self._waiting[self._users[index]]
        return None

    @property
    def played(self) -> int:
        """Number of events that have been played."""
        return self._played

    def _limit(self) -> int:
        """Index of the end of the admissible part of the stream, by count and by skew."""
        end = min(len(self._users), self.oldest + self._window)
        if self._next < end and self._times[self._next] > self._times[self.oldest] + self._skew:
            return self._next
        return end


class EventPace:
    """Allows at most `rate` events per second, evenly spaced; `now` is a monotonic clock in seconds. Unused time is lost."""

    def __init__(self, rate: float, now: Callable[[], float]) -> None:
        self._interval = 1 / rate
        self._now = now
        self._next = now()

    def allows(self) -> bool:
        """Whether another event may start now. True counts as its start."""
        now = self._now()
        if now < self._next:
            return False
        # Allow catching up by a tenth of a second, because callers poll.
        self._next = max(self._next, now - 0.1) + self._interval
        return True
