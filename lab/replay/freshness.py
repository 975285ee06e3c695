"""When did a click reach the lists? Answered afterwards from three logs: clicks, the examples they became, the releases."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
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


@dataclass(slots=True)
class Releases:
    """Releases as they were published: version and, per partition of training-examples, the next offset not learned from."""

    trained_through: dict[int, Sequence[int]] = field(default_factory=dict)

    def first_with(self, partition: int, offset: int) -> int | None:
        """The first version that learned from the example at `offset`; None when none has."""
        versions = sorted(self.trained_through)
        ends = [self.trained_through[version][partition] for version in versions]
        place = bisect_right(ends, offset)
        return versions[place] if place < len(versions) else None


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
    found: Iterable[float | None] = (
        _served_at(example, releases, served) if (example := examples.get(event_id)) else None for event_id in clicks
    )
    return [at - sent for at, sent in zip(found, clicks.values(), strict=True) if at is not None]


def _served_at(example: tuple[int, int], releases: Releases, served: ServedVersions) -> float | None:
    version = releases.first_with(*example)
    return None if version is None else served.first_at(version)
