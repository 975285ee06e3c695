"""Rate limits by caller, in constant time and bounded memory."""

import time
from collections import OrderedDict
from collections.abc import Callable

# Callers that are remembered; beyond that, the one that was quiet for longest is forgotten.
MAX_CALLERS = 10_000


class RateLimiter:
    """At most `amount` requests in any burst, and on average `amount` in `window_sec` (GCRA: one time for each caller).

    `limits` parses the setting, but its in-memory storage walks through all callers at each hit, in a thread.
    """

    def __init__(self, amount: int, window_sec: float, now: Callable[[], float] = time.monotonic) -> None:
        self._interval_sec = window_sec / amount
        self._burst_sec = window_sec
        self._now = now
        self._free_at: OrderedDict[str, float] = OrderedDict()

    def wait_sec(self, caller: str) -> float:
        """Seconds until the caller's next request is allowed; 0 if it is now."""
        return max(0.0, self._next(caller) - self._burst_sec - self._now())

    def hit(self, caller: str) -> float:
        """Count a request. Returns 0, or the seconds to wait for a request that is above the limit and so not counted."""
        if wait_sec := self.wait_sec(caller):
            return wait_sec
        self._free_at[caller] = self._next(caller)
        self._free_at.move_to_end(caller)
        if len(self._free_at) > MAX_CALLERS:
            self._free_at.popitem(last=False)
        return 0.0

    def _next(self, caller: str) -> float:
        return max(self._free_at.get(caller, 0.0), self._now()) + self._interval_sec
