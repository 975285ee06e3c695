"""Limits how often derived state is rebuilt."""

from collections.abc import Callable


class RebuildPace:
    """Due once `min_interval_sec` have passed since the last rebuild, and long enough that rebuilds take at most `duty` of the time.

    `monotonic` is a clock in seconds. With a duty of 1 and an interval of 0, a rebuild is always due.
    """

    def __init__(self, monotonic: Callable[[], float], duty: float = 0.05, min_interval_sec: float = 0.3) -> None:
        self._monotonic = monotonic
        self._duty = duty
        self._min_interval_sec = min_interval_sec
        self._next = float("-inf")

    def due(self) -> bool:
        return self._monotonic() >= self._next

    def seconds_left(self) -> float:
        """Seconds until a rebuild is due."""
        return max(self._next - self._monotonic(), 0.0)

    def finish(self, started: float) -> None:
        """Record a rebuild that began at `started` and ends now."""
        now = self._monotonic()
        self._next = now + max((now - started) * (1 / self._duty - 1), self._min_interval_sec)

    def start(self) -> float:
        """The current time, to pass to `finish`."""
        return self._monotonic()
