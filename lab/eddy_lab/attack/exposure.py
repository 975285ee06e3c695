"""Who is recommended what: the slates of a fixed group of users at one moment."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from eddy.contract.records import Recommendations


@dataclass(frozen=True, slots=True)
class Exposure:
    """Number of slates, the slates that contain each item, and those in which it is first."""

    slates: int = 0
    lists: Counter[str] = field(default_factory=Counter)
    first: Counter[str] = field(default_factory=Counter)

    @staticmethod
    def of(slates: Sequence[Recommendations]) -> "Exposure":
        lists = Counter(item["item_id"] for slate in slates for item in slate["items"])
        first = Counter(slate["items"][0]["item_id"] for slate in slates if slate["items"])
        return Exposure(len(slates), lists, first)

    def share_first(self, item_id: str) -> float:
        return self.first[item_id] / max(self.slates, 1)

    def share(self, item_id: str) -> float:
        return self.lists[item_id] / max(self.slates, 1)
