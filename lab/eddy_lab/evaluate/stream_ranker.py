"""The scorer's ranking for the events of a stream, without policy and slates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eddy.contract.scenarios import Scenarios
from eddy.text import TextModel
from eddy_cli.replay.records import ReplayRecords
from eddy_cli.replay.stream import Stream
from eddy_scorer.core.ranking.recommender import Recommender
from eddy_scorer.core.ranking.request import Request
from eddy_scorer.core.ranking.slates import RankedCandidates
from eddy_scorer.core.state.users import User

LIMIT = 10
OUTSIDE = -1  # rank of an item that is not among the candidates


@dataclass(frozen=True, slots=True)
class EventBatch:
    """A micro-batch of a stream: the indices of its events, and the state of each event's user before the event."""

    indices: range
    users: Sequence[User]


class StreamRanker:
    """Ranks items for the users of a stream. Items that a user has interacted with are left out in every scenario.

    `approximate_from` is the catalogue size from which the encoder searches an approximate index; `texts` embeds items and queries, and is
    None if there are no queries.
    """

    def __init__(
        self,
        stream: Stream,
        scenarios: Scenarios,
        records: ReplayRecords,
        seed: int,
        approximate_from: int = 0,
        texts: TextModel | None = None,
    ) -> None:
        self._stream = stream
        self._records = records
        self.recommender = Recommender(
            _new_items_only(scenarios, stream.event_kind.scenario),
            np.random.default_rng(seed),
            lambda: 0.0,
            approximate_from=approximate_from,
            texts=texts,
        )
        for item in stream.catalogue:
            self.recommender.apply_item(item)
        self.recommender.state.rebuild()
        if texts is not None:
            self._embed_items()

    def rank(
        self,
        batch: EventBatch,
        queries: Sequence[str] | None = None,
        candidates: Sequence[tuple[str, ...]] | None = None,
    ) -> RankedCandidates:
        """Rank all candidates for each event of the batch, or only those of `candidates` [B]; for `queries` [B] if given."""
        requests = [
            self._request(index, queries[row] if queries else None, candidates[row] if candidates else None)
            for row, index in enumerate(batch.indices)
        ]
        return self.recommender.rank(requests, batch.users)

    def catalogue_rows(self, batch: EventBatch) -> list[int]:
        """The catalogue row of each event's item."""
        stream, find = self._stream, self.recommender.state.catalogue.find
        return [find(stream.item_ids[stream.items[index]]) for index in batch.indices]

    def _request(self, index: int, query: str | None, candidates: tuple[str, ...] | None) -> Request:
        stream = self._stream
        user_id, at_ms = stream.user_ids[stream.users[index]], stream.times_ms[index]
        request_id = self._records.request_id(index)
        return Request(
            request_id, user_id, stream.event_kind.scenario, LIMIT, at_ms, query=query, candidates=candidates
        )

    def _embed_items(self) -> None:
        """Embed the words of all items; the scorer does so in the background after its first query."""
        text_embeddings = self.recommender.state.text_embeddings
        text_embeddings.enable()
        while embed := text_embeddings.due():
            embed()


def rank_of(ranked: RankedCandidates, row: int, item: int) -> int:
    """Rank, from 0, of catalogue row `item` in batch row `row`; OUTSIDE if it is not a candidate. Ties count against it."""
    candidates = ranked.candidates
    count = candidates.merged_counts[row]
    matches = np.flatnonzero(candidates.rows[row, :count] == item)
    if not item or not len(matches):
        return OUTSIDE
    scores = ranked.scores[row, :count]
    return int(np.count_nonzero(scores >= scores[matches[0]])) - 1


def _new_items_only(scenarios: Scenarios, name: str) -> Scenarios:
    """The same scenarios, with the filter `seen` added to the scenario `name`."""
    rules = scenarios[name]
    filters = tuple(dict.fromkeys(("seen", *rules.filters)))
    return scenarios.model_copy(
        update={"scenarios": {**scenarios.scenarios, name: rules.model_copy(update={"filters": filters})}}
    )
