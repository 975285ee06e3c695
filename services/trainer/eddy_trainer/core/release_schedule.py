"""Decides when a release is due."""

import math
from collections.abc import Sequence


class ReleaseSchedule:
    """At most one release per `interval`, only after new training steps, and never one that was trained on less.

    `interval` and `now` are in the caller's unit: seconds, or events in a benchmark. `floor` are the offsets that the newest release of
    former processes was trained through; a model that was trained on less must not replace it.
    """

    def __init__(self, interval: float, floor: Sequence[int] = (), now: float = 0.0) -> None:
        self._interval = interval
        self._floor = tuple(floor)
        self._captured_at = now
        self._has_news = False
        self.trained_through: tuple[int, ...] = ()

    def cap_floor(self, ends: Sequence[int]) -> None:
        """Lower the floor to the end offsets of the topic; it is higher only if the topic was recreated."""
        self._floor = tuple(min(pair) for pair in zip(self._floor, ends, strict=False))

    def read_through(self, offsets: Sequence[int]) -> None:
        """Record that everything before these offsets was used for training or is of no use for it."""
        self.trained_through = tuple(offsets)

    def trained(self, offsets: Sequence[int]) -> None:
        """Record a step, trained on everything before these offsets."""
        self.read_through(offsets)
        self._has_news = True

    def retry(self) -> None:
        """Make the next release due after `interval` without new steps, because the last one was not published in full."""
        self._has_news = True

    def release_now(self) -> None:
        """Make a release due at once."""
        self._has_news, self._captured_at = True, -math.inf

    def is_due(self, now: float) -> bool:
        elapsed = now - self._captured_at >= self._interval
        past_floor = all(done >= needed for done, needed in zip(self.trained_through, self._floor, strict=False))
        return self._has_news and elapsed and past_floor

    def captured(self, now: float) -> None:
        """Record that a release is being prepared."""
        self._captured_at, self._has_news = now, False

    def served(self, trained_through: Sequence[int]) -> None:
        """Record that a release trained through these offsets serves: it is the new floor."""
        self._floor = tuple(trained_through)
