"""Search: ranks each event's item for a query that its user might have typed. Nothing is learned from queries."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from eddy_lab.evaluate.stream_ranker import OUTSIDE, EventBatch, StreamRanker, rank_of
from eddy_trainer.core.examples import Example


class SearchTask:
    """`queries[kind]` [events] are searched; `ranks[kind]` [events] of the events' items are from 0, OUTSIDE if not a candidate."""

    embeds_text: ClassVar[bool] = True

    def __init__(self, queries: Mapping[str, Sequence[str]]) -> None:
        self._queries = queries
        self.ranks = {kind: np.full(len(texts), OUTSIDE, np.int64) for kind, texts in queries.items()}

    def predict(self, batch: EventBatch, ranker: StreamRanker) -> Sequence[Example]:
        items = ranker.catalogue_rows(batch)
        for kind, texts in self._queries.items():
            ranked = ranker.rank(batch, queries=[texts[index] for index in batch.indices])
            for row, (index, item) in enumerate(zip(batch.indices, items, strict=True)):
                self.ranks[kind][index] = rank_of(ranked, row, item)
        return ()
