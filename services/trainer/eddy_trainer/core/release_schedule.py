"""When a release is due."""

import math
from collections.abc import Sequence


class ReleaseSchedule:
    """At most one release every `interval`, only of what was learned since the last one, never a step back.

    Time is a number that the caller counts: seconds where the clock paces releases, events where nothing but the stream does.
    `floor`: offsets through which the newest release of former lives has learned, none where there was none. A model that learned
    from less must not take the place of the one that serves.
    """

    def __init__(self, interval: float, floor: Sequence[int] = (), now: float = 0.0) -> None:
        self._interval = interval
        self._floor = tuple(floor)
        self._captured_at = now
        self._learned = False
        self.trained_through: tuple[int, ...] = ()

    def cap_floor(self, ends: Sequence[int]) -> None:
        """Lower the floor to the topic's end offsets: what lies beyond them is in a topic that is no more."""
        self._floor = tuple(min(pair) for pair in zip(self._floor, ends, strict=False))

    def read_through(self, offsets: Sequence[int]) -> None:
        """Everything before these offsets was learned from, or teaches nothing."""
        self.trained_through = tuple(offsets)

    def trained(self, offsets: Sequence[int]) -> None:
        """A step was made; everything before these offsets was learned from."""
        self.read_through(offsets)
        self._learned = True

    def retry(self) -> None:
        """The last release did not get out as a whole: the next one follows after `interval` even if nothing is learned until then."""
        self._learned = True

    def release_now(self) -> None:
        """The next release does not wait for `interval`."""
        self._learned, self._captured_at = True, -math.inf

    def is_due(self, now: float) -> bool:
        elapsed = now - self._captured_at >= self._interval
        past_floor = all(done >= needed for done, needed in zip(self.trained_through, self._floor, strict=False))
        return self._learned and elapsed and past_floor

    def captured(self, now: float) -> None:
        """A release is being made of what was learned until now."""
        self._captured_at, self._learned = now, False

    def served(self, trained_through: Sequence[int]) -> None:
        """A release that learned through these offsets serves: it is the floor of the next ones."""
        self._floor = tuple(trained_through)
