"""The next item: each event's item among all items new to its user."""

import time
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from eddy.contract.model import ACTIONS, FEATURES
from eddy.contract.scenarios import Scenarios
from eddy_cli.replay.stream import Stream
from eddy_lab.evaluate.stream_ranker import OUTSIDE, EventBatch, StreamRanker, rank_of
from eddy_scorer.core.ranking.slates import RankedCandidates
from eddy_trainer.core.examples import Example, Features, NextItemExample, PastInteraction

_NO_FEATURES: Features = np.zeros((0, len(FEATURES)), np.float16)


class UnrankedTask:
    """Predicts nothing; the encoder learns each event as the next item of its user's sequence, and the ranker learns nothing."""

    embeds_text: ClassVar[bool] = False

    def __init__(self, stream: Stream, scenarios: Scenarios) -> None:
        self._stream = stream
        self._rules = scenarios[stream.event_kind.scenario]

    def predict(self, batch: EventBatch, ranker: StreamRanker) -> Sequence[Example]:
        return [self._example(index, _NO_FEATURES, -1) for index in batch.indices]

    def _example(self, index: int, features: Features, target: int) -> NextItemExample:
        stream = self._stream
        event = PastInteraction(
            stream.item_ids[stream.items[index]],
            1 + ACTIONS.index(stream.event_kind.action),
            self._rules.id,
            self._rules.actions[stream.event_kind.action].normalise(stream.values[index]),
            stream.times_ms[index],
        )
        return NextItemExample(stream.user_ids[stream.users[index]], event, (), features, target)


class NextItemTask(UnrankedTask):
    """Ranks all candidates, and learns which one was chosen. `ranks` [events] of each event's item from 0; OUTSIDE if not a candidate."""

    def __init__(self, stream: Stream, scenarios: Scenarios) -> None:
        super().__init__(stream, scenarios)
        self.ranks = np.full(len(stream), OUTSIDE, np.int64)
        self.seconds = 0.0  # CPU time

    def predict(self, batch: EventBatch, ranker: StreamRanker) -> Sequence[Example]:
        started = time.process_time()
        ranked = ranker.rank(batch)
        self.seconds += time.process_time() - started
        items = ranker.catalogue_rows(batch)
        for row, (index, item) in enumerate(zip(batch.indices, items, strict=True)):
            self.ranks[index] = rank_of(ranked, row, item)
        return [
            self._chosen(index, ranked, row, item)
            for row, (index, item) in enumerate(zip(batch.indices, items, strict=True))
        ]

    def _chosen(self, index: int, ranked: RankedCandidates, row: int, item: int) -> NextItemExample:
        count = ranked.candidates.counts[row]
        matches = np.flatnonzero(ranked.candidates.rows[row, :count] == item)
        target = int(matches[0]) if len(matches) and item else -1
        return self._example(index, ranked.features[row, :count], target)
