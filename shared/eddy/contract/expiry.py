"""The clock by which users and items expire: event time that most events have passed, so that a few with wrong times move nothing."""

from collections import deque
from collections.abc import Iterable

DAY_MS = 86_400_000
_EVENTS = 1000
_LATER = 100  # of the last events; so many may be ahead


class EventClock:
    """The event time (ms) that all but the latest 100 of the last 1,000 events have not passed; None before there are 1,000."""

    def __init__(self) -> None:
        self._times: deque[int] = deque(maxlen=_EVENTS)

    def add(self, times: Iterable[int]) -> None:
        """Add the times of events, in the order of their arrival."""
        self._times.extend(times)

    @property
    def now(self) -> int | None:
        return sorted(self._times)[-_LATER - 1] if len(self._times) == _EVENTS else None

    def limit(self, days: float) -> int | None:
        """The time before which things have expired; None if there is none yet, or for 0 days."""
        now = self.now
        return None if now is None or not days else now - round(days * DAY_MS)
