"""From requests to a batch: histories, and the rows that each slate must not contain."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from eddy.contract.model import PADDING_ROW
from eddy_scorer.core.ranking.batch import CandidateBatch, RequestBatch
from eddy_scorer.core.ranking.filters import BlockedMatrix, ExcludedFilter, QueryFilter, RejectedFilter, SeenFilter
from eddy_scorer.core.ranking.request import Request
from eddy_scorer.core.state.arrays import I32, I64, Bool
from eddy_scorer.core.state.scorer_state import ScorerState
from eddy_scorer.core.state.users import User


class BatchGatherer:
    """Gathers histories and applies the filters and the query of each request."""

    def __init__(self, state: ScorerState) -> None:
        self._state = state
        self._scenarios = state.scenarios
        self._filters = (SeenFilter(state.catalogue), ExcludedFilter(state.catalogue))
        self._rejected = RejectedFilter(state.catalogue, state.scenarios)
        self._query = QueryFilter(state.catalogue, state.text_embeddings)
        self._blocked = BlockedMatrix()

    @contextmanager
    def batch(self, requests: Sequence[Request], users: Sequence[User]) -> Iterator[RequestBatch]:
        """The batch; its matrix of blocked rows is cleared at the end."""
        rejected = [self._rejected.rows(request, user) for request, user in zip(requests, users, strict=True)]
        blocked = [self._blocked_rows(*each) for each in zip(requests, users, rejected, strict=True)]
        self._block_unpublished(requests, blocked)
        query_rows = [self._query_rows(request, rows) for request, rows in zip(requests, blocked, strict=True)]
        with self._blocked.mark(blocked, query_rows, len(self._state.catalogue)) as matrix:
            requested_at = np.array([request.requested_at for request in requests], np.int64)
            scenarios = np.array([self._scenarios[request.scenario].id for request in requests], np.int64)
            # What a user has rejected since says nothing about preferences: no source, feature or reason is led by it.
            users = [user.without(rows) if len(rows) else user for user, rows in zip(users, rejected, strict=True)]
            parts = zip(scenarios.tolist(), blocked, query_rows, strict=True)
            yield RequestBatch(
                requests=requests,
                users=users,
                histories=self._state.users.gather(users, requested_at),
                scenarios=scenarios,
                requested_at=requested_at,
                blocked=matrix,
                excluded=_padded(blocked),
                pool_sizes=[self._pool_size(*each) for each in parts],
                query_rows=query_rows,
            )

    def full_matches(self, batch: RequestBatch, candidates: CandidateBatch) -> Bool:
        """[B, C]: whether a candidate has every word of its request's query."""
        matches = np.zeros(candidates.rows.shape, bool)
        for index, request in enumerate(batch.requests):
            if request.query and request.candidates is None:
                matches[index] = np.isin(candidates.rows[index], self._query.full_matches(request.query))
        return matches

    def _query_rows(self, request: Request, blocked: I32) -> I64 | None:
        eligible = self._state.catalogue.eligible[self._scenarios[request.scenario].id]
        return self._query.matches_of(request, eligible, blocked)

    def _blocked_rows(self, request: Request, user: User, rejected: I32) -> I32:
        names = self._scenarios[request.scenario].filters
        blocked = [rows for each in self._filters if each.name in names and len(rows := each.rows(request, user))]
        if len(rejected):
            blocked.append(rejected)
        if len(blocked) == 1:
            return blocked[0]
        return np.unique(np.concatenate(blocked)) if blocked else np.zeros(0, np.int32)

    def _block_unpublished(self, requests: Sequence[Request], blocked: list[I32]) -> None:
        """Add the items whose publication time is after the request to `blocked`."""
        catalogue = self._state.catalogue
        unpublished = catalogue.unpublished_at(min((request.requested_at for request in requests), default=0))
        if len(unpublished):
            times = catalogue.published_at[unpublished]
            for index, request in enumerate(requests):
                later = unpublished[times > request.requested_at]
                blocked[index] = np.union1d(blocked[index], later) if len(blocked[index]) else later

    def _pool_size(self, scenario: int, blocked: I32, query_rows: I64 | None) -> int:
        """Number of items that may be in the slate."""
        eligible = self._state.catalogue.eligible[scenario]
        if query_rows is not None:
            return int(eligible[query_rows].sum() - eligible[np.intersect1d(query_rows, blocked)].sum())
        return self._state.catalogue.eligible_count[scenario] - int(eligible[blocked].sum())


def _padded(blocked: Sequence[I32]) -> I64:
    """The rows of each request as a matrix [B, S], padded with PADDING_ROW; S is at least 1."""
    width = max(1, *(len(rows) for rows in blocked))
    out = np.full((len(blocked), width), PADDING_ROW, np.int64)
    for index, rows in enumerate(blocked):
        out[index, : len(rows)] = rows
    return out
