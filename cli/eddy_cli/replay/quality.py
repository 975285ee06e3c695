"""How good the lists were: NDCG and hit rate at 10 of what the user did next, over the stream and by tenth of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eddy_cli.baselines import Baseline
from eddy_cli.replay.stream import Stream

CUT = 10
TENTHS = 10


def gain_at_10(place: int | None) -> float:
    """DCG of a list with one relevant item at `place` (from 0; None when it is not there), which is also its NDCG."""
    return 1.0 / math.log2(place + 2) if place is not None and place < CUT else 0.0


@dataclass(slots=True)
class Score:
    """Sums over events, by tenth of the stream."""

    gains: list[float] = field(default_factory=lambda: [0.0] * TENTHS)
    hits: list[int] = field(default_factory=lambda: [0] * TENTHS)
    events: list[int] = field(default_factory=lambda: [0] * TENTHS)

    def add(self, tenth: int, place: int | None) -> None:
        gain = gain_at_10(place)
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
    """Judges model and baselines on the same events in the order of play, each event before anybody learns it.

    Many users are played at once, some ahead of others in event time: what that tells of the future, the baselines are told as well, and
    they learn each event at once. Only events of users with at least one earlier event count, and of items that the user has not had.
    `places` is filled by the replay: the place of the historical item in the served list, -1 where it was not there or no list came.
    """

    def __init__(self, stream: Stream, places: list[int], baselines: Mapping[str, Baseline]) -> None:
        self._stream = stream
        self._places = places
        self._baselines = dict(baselines)
        self._scored = stream.scored()
        self.scores = {name: Score() for name in ("model", *baselines)}

    def evaluate(self, index: int) -> None:
        """The event has been played: judge it, then teach it to the baselines."""
        stream = self._stream
        user, item, at_ms = stream.users[index], stream.items[index], stream.times_ms[index]
        if self._scored[index]:
            tenth = index * TENTHS // len(stream)
            served = self._places[index]
            self.scores["model"].add(tenth, served if served >= 0 else None)
            for name, baseline in self._baselines.items():
                self.scores[name].add(tenth, baseline.rank(user, item))
        for baseline in self._baselines.values():
            baseline.learn(user, item, at_ms)
