"""How often something expensive may be rebuilt."""

from collections.abc import Callable


class RebuildPace:
    """Due when `least_sec` have passed since the last time, and so long that the work takes at most `duty` of the time.

    `monotonic` is a clock in seconds. Where the rebuild has to happen every time, a Pace of duty 1 and 0 seconds says so.
    """

    def __init__(self, monotonic: Callable[[], float], duty: float = 0.05, min_interval_sec: float = 0.3) -> None:
        self._monotonic = monotonic
        self._duty = duty
        self._least_sec = min_interval_sec
        self._next = float("-inf")

    def due(self) -> bool:
        return self._monotonic() >= self._next

    def seconds_left(self) -> float:
        """Until it is due."""
        return max(self._next - self._monotonic(), 0.0)

    def finish(self, started: float) -> None:
        """Note work that began at `started` and ends now."""
        now = self._monotonic()
        self._next = now + max((now - started) * (1 / self._duty - 1), self._least_sec)

    def start(self) -> float:
        """The time now, to hand to `took`."""
        return self._monotonic()
