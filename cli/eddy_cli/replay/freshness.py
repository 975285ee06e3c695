"""When did a click reach the lists? Answered afterwards from three logs: clicks, the examples they became, the releases."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class ServedVersions:
    """First time (seconds) that a list of at least each version was received; versions rise."""

    versions: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def note(self, version: int, at: float) -> None:
        if not self.versions or version > self.versions[-1]:
            self.versions.append(version)
            self.times.append(at)

    def first_at(self, version: int) -> float | None:
        """When the first list scored by `version` or a later one came; None when none did."""
        place = bisect_left(self.versions, version)
        return self.times[place] if place < len(self.times) else None


class Releases:
    """Releases as they were published: each version with, per partition of training-examples, the next offset not learned from."""

    def __init__(self, trained_through: Mapping[int, Sequence[int]]) -> None:
        self._versions = sorted(trained_through)
        self._ends = list(zip(*(trained_through[version] for version in self._versions), strict=True))

    def first_with(self, partition: int, offset: int) -> int | None:
        """The first version that learned from the example at `offset`; None when none has."""
        if not self._versions:
            return None
        place = bisect_right(self._ends[partition], offset)
        return self._versions[place] if place < len(self._versions) else None


def click_to_serving_seconds(
    clicks: Mapping[str, float],
    examples: Mapping[str, tuple[int, int]],
    releases: Releases,
    served: ServedVersions,
) -> list[float]:
    """Seconds from each click's publication to the first list received that was scored by weights that learned from it.

    `clicks` maps event ids to publication times, `examples` event ids to partition and offset of the example they became. Clicks
    that no list came after (those of the last moments) are left out.
    """
    seconds: list[float] = []
    for event_id, sent_at in clicks.items():
        version = releases.first_with(*examples[event_id]) if event_id in examples else None
        served_at = None if version is None else served.first_at(version)
        if served_at is not None:
            seconds.append(served_at - sent_at)
    return seconds
