"""Time from a click to the first slate of a model trained on it, computed from clicks, their examples and the releases."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class ServedVersions:
    """Time (seconds) at which the first slate of at least each version was received."""

    versions: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def note(self, version: int, at: float) -> None:
        if not self.versions or version > self.versions[-1]:
            self.versions.append(version)
            self.times.append(at)

    def first_at(self, version: int) -> float | None:
        """Time of the first slate scored by `version` or a later one; None if there is none."""
        position = bisect_left(self.versions, version)
        return self.times[position] if position < len(self.times) else None


class Releases:
    """Published releases: for each version and partition of training-examples, the offset of the first untrained example."""

    def __init__(self, trained_through: Mapping[int, Sequence[int]]) -> None:
        self._versions = sorted(trained_through)
        self._ends = list(zip(*(trained_through[version] for version in self._versions), strict=True))

    def first_with(self, partition: int, offset: int) -> int | None:
        """The first version trained on the example at `offset`; None if there is none."""
        if not self._versions:
            return None
        position = bisect_right(self._ends[partition], offset)
        return self._versions[position] if position < len(self._versions) else None


def click_to_serving_seconds(
    clicks: Mapping[str, float],
    examples: Mapping[str, tuple[int, int]],
    releases: Releases,
    served: ServedVersions,
) -> list[float]:
    """Seconds from the publication of each click to the first received slate of a model trained on it.

    `clicks` maps event ids to publication times, `examples` maps event ids to partition and offset of their example. Clicks without a
    later slate (the last ones) are left out.
    """
    seconds: list[float] = []
    for event_id, sent_at in clicks.items():
        version = releases.first_with(*examples[event_id]) if event_id in examples else None
        served_at = None if version is None else served.first_at(version)
        if served_at is not None:
            seconds.append(served_at - sent_at)
    return seconds
