"""Measures the age of a release, and of the newest interaction in it, when the first slate that it ranked is published."""

from eddy.metrics import HOP_SECONDS, LOOP_SECONDS

_ACTIVATION_DELAY = HOP_SECONDS.labels("activation_delay")


class Freshness:
    """Observes activation delay and loop delay. All times are wall clock in milliseconds."""

    def __init__(self) -> None:
        self._version = 0
        self._released_at = 0
        self._acted_at = 0
        self._last_observed = 0
        self._pending = False

    def release_activated(self, version: int, released_at: int, acted_at: int) -> None:
        """A release was activated; `acted_at` is the time of its newest interaction, 0 if it was trained on none."""
        self._version, self._released_at, self._acted_at, self._pending = version, released_at, acted_at, True

    def slate_published(self, version: int, now: int) -> None:
        """A slate ranked by `version` was published."""
        if not self._pending or version != self._version:
            return
        self._pending = False
        _ACTIVATION_DELAY.observe((now - self._released_at) / 1000)
        if self._acted_at > self._last_observed:  # a release may include no new interaction
            self._last_observed = self._acted_at
            LOOP_SECONDS.observe((now - self._acted_at) / 1000)
