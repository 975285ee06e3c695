"""Estimates the broker's clock, which gives requests their append times, from this machine's clock and acknowledged writes."""

from eddy.clock import Clock

# A comparison counts so long. Clocks are set now and then, and a clock that seems wrong must not be the reason for no further comparison.
VALID_MS = 5000
# A broker's time is rounded down to whole milliseconds, as are the others.
_ROUNDING_MS = 1


class BrokerClock:
    """The broker's clock, in milliseconds: this machine's, corrected as far as acknowledged writes prove it wrong."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lead_ms = 0
        self._compared_at: int | None = None

    def now_ms(self) -> int:
        """The broker's time now."""
        return self._clock.now_ms() - self._lead_ms

    @property
    def is_compared(self) -> bool:
        """Whether the clocks have been compared within VALID_MS."""
        return self._compared_at is not None and 0 <= self._clock.now_ms() - self._compared_at <= VALID_MS

    def compare(self, sent_at: int, appended_at: int) -> None:
        """Note a write that was sent at `sent_at` by this machine's clock, has just been acknowledged, and has this append time.

        The broker appended it between both, which bounds the lead of this clock; within the bounds it stays as it is.
        """
        now = self._clock.now_ms()
        least, most = sent_at - appended_at - _ROUNDING_MS, now - appended_at + _ROUNDING_MS
        self._lead_ms = min(max(self._lead_ms, least), most)
        self._compared_at = now
