"""How old a release is, and the newest action in it, when the first slate ranked by it is published."""

from eddy.metrics import HOP_SECONDS, LOOP_SECONDS

_ACTIVATION_DELAY = HOP_SECONDS.labels("activation_delay")


class Freshness:
    """Hears of releases that are taken and of slates that are published; all times are wall clock in milliseconds."""

    def __init__(self) -> None:
        self._version = 0
        self._released_at = 0
        self._acted_at = 0
        self._published_acted_at = 0
        self._waiting = False

    def release_activated(self, version: int, released_at: int, acted_at: int) -> None:
        """A release serves from now on; `acted_at` is 0 where it learned from no action."""
        self._version, self._released_at, self._acted_at, self._waiting = version, released_at, acted_at, True

    def slate_published(self, version: int, now: int) -> None:
        """A slate ranked by `version` is published."""
        if not self._waiting or version != self._version:
            return
        self._waiting = False
        _ACTIVATION_DELAY.observe((now - self._released_at) / 1000)
        if self._acted_at > self._published_acted_at:  # a release may have learned from nothing new
            self._published_acted_at = self._acted_at
            LOOP_SECONDS.observe((now - self._acted_at) / 1000)
