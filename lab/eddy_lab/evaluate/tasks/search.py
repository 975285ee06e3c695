"""Whether a query finds an item: what each event's user might have typed, answered and not learned from."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from eddy_lab.evaluate.stream_ranker import OUTSIDE, EventBatch, StreamRanker, rank_of
from eddy_trainer.core.examples import Example


class SearchTask:
    """`queries[kind][index]` is asked for each event; `ranks[kind]` of its item are from 0, OUTSIDE where it was no candidate."""

    embeds_text: ClassVar[bool] = True

    def __init__(self, queries: Mapping[str, Sequence[str]]) -> None:
        self._queries = queries
        self.ranks = {kind: np.full(len(typed), OUTSIDE, np.int64) for kind, typed in queries.items()}

    def ask(self, batch: EventBatch, ranker: StreamRanker) -> Sequence[Example]:
        items = ranker.catalogue_rows(batch)
        for kind, typed in self._queries.items():
            ranked = ranker.rank(batch, queries=[typed[index] for index in batch.indices])
            for row, (index, item) in enumerate(zip(batch.indices, items, strict=True)):
                self.ranks[kind][index] = rank_of(ranked, row, item)
        return ()
