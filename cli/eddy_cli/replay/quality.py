"""Quality of the recommendations: NDCG@10 and HR@10 of the user's next item, for the whole stream and by tenth."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eddy_cli.baselines import Baseline
from eddy_cli.replay.stream import Stream

CUT = 10
TENTHS = 10


def gain_at_10(position: int | None) -> float:
    """DCG of a ranking with one relevant item at `position` (from 0; None for a missing item), which equals its NDCG."""
    return 1.0 / math.log2(position + 2) if position is not None and position < CUT else 0.0


@dataclass(slots=True)
class Score:
    """Sums over events, by tenth of the stream."""

    gains: list[float] = field(default_factory=lambda: [0.0] * TENTHS)
    hits: list[int] = field(default_factory=lambda: [0] * TENTHS)
    events: list[int] = field(default_factory=lambda: [0] * TENTHS)

    def add(self, tenth: int, position: int | None) -> None:
        gain = gain_at_10(position)
        self.gains[tenth] += gain
        self.hits[tenth] += gain > 0
        self.events[tenth] += 1

    @property
    def hit_rate(self) -> float:
        return sum(self.hits) / max(1, sum(self.events))

    def as_dict(self) -> dict[str, Any]:
        return {
            "ndcg_at_10": sum(self.gains) / max(1, sum(self.events)),
            "hr_at_10": self.hit_rate,
            "ndcg_at_10_by_tenth": [gain / max(1, count) for gain, count in zip(self.gains, self.events, strict=True)],
        }


class ReplayEvaluator:
    """Scores model and baselines on the same events in the order of play, each event before it is learned.

    Many users are played at once, some ahead of others in event time. The baselines learn each event at once, so they profit from this as
    much as the model. An event counts if its user has an earlier event and is new to the item. The replay fills `positions`: the position
    of the historical item in the slate, -1 if it was not there or there was no slate.
    """

    def __init__(self, stream: Stream, positions: list[int], baselines: Mapping[str, Baseline]) -> None:
        self._stream = stream
        self._positions = positions
        self._baselines = dict(baselines)
        self._scored = stream.scored()
        self.scores = {name: Score() for name in ("model", *baselines)}

    def evaluate(self, index: int) -> None:
        """Score a played event, then let the baselines learn it."""
        stream = self._stream
        user, item, at_ms = stream.users[index], stream.items[index], stream.times_ms[index]
        if self._scored[index]:
            tenth = index * TENTHS // len(stream)
            position = self._positions[index]
            self.scores["model"].add(tenth, position if position >= 0 else None)
            for name, baseline in self._baselines.items():
                self.scores[name].add(tenth, baseline.rank(user, item))
        for baseline in self._baselines.values():
            baseline.learn(user, item, at_ms)
