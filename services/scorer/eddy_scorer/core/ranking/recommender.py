"""The recommender without Kafka: records in, lists out."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

import numpy as np

from eddy.contract.codec import Record
from eddy.contract.model import DIM, HISTORY, PADDING_BIAS, PADDING_ROW, TOP_K
from eddy.contract.scenarios import Scenarios
from eddy.text import TextModel
from eddy_scorer.core.model.model import Model
from eddy_scorer.core.ranking.batch import Batch, Candidates, Encoded
from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.ranking.feature_matrix import FeatureMatrix
from eddy_scorer.core.ranking.filters import Blocked, ExcludedFilter, QueryFilter, SeenFilter
from eddy_scorer.core.ranking.pipeline import Pipeline
from eddy_scorer.core.ranking.request import Request
from eddy_scorer.core.ranking.slates import Ranked, Slates
from eddy_scorer.core.state.arrays import F32, FIRST_CAPACITY, I32, I64, Bool
from eddy_scorer.core.state.counting import counting_scores
from eddy_scorer.core.state.knowledge import Knowledge
from eddy_scorer.core.state.nearest import used_rows
from eddy_scorer.core.state.users import User

Timer = Callable[[str], AbstractContextManager[object]]


def _untimed(_: str) -> AbstractContextManager[object]:
    return nullcontext()


class Recommender:
    """State from records, lists from state. One thread at a time.

    `rng` draws the random slot. `monotonic` paces the rebuilds of derived state; `timer(stage)` may measure the stages of a batch. For
    `approximate_from` see Knowledge; `texts` reads items and queries.
    """

    def __init__(
        self,
        scenarios: Scenarios,
        rng: np.random.Generator,
        monotonic: Callable[[], float] = time.monotonic,
        timer: Timer = _untimed,
        approximate_from: int = 0,
        texts: TextModel | None = None,
    ) -> None:
        self.knowledge = Knowledge(scenarios, monotonic, approximate_from, texts)
        self.model: Model | None = None
        self._timer = timer
        self._scenarios = scenarios
        self._pipeline = Pipeline(self.knowledge, rng)
        self._features = FeatureMatrix()
        self._filters = (SeenFilter(self.knowledge.catalogue), ExcludedFilter(self.knowledge.catalogue))
        self._query = QueryFilter(self.knowledge.catalogue, self.knowledge.meaning)
        self._blocked = Blocked()
        self._slates = Slates(self.knowledge)

    @property
    def model_version(self) -> int:
        """Version of the release that serves; 0 is counts alone."""
        return self.model.version if self.model else 0

    def apply_user_features(self, record: Record, partition: int = 0) -> User:
        """Take in a `user_features` record. Raises PoisonError when it does not hold."""
        return self.knowledge.users.apply(record, partition)

    def apply_item_features(self, record: Record) -> None:
        """Take in an `item_features` record. Raises PoisonError when it does not hold."""
        self.knowledge.apply_item_features(record)

    def apply_item(self, record: Record) -> None:
        """Take in an `item` record."""
        self.knowledge.apply_item(record)

    def apply_rows(self, item_ids: list[str], vectors: F32, bias: F32) -> None:
        """Set item rows of the table: `vectors` [R, DIM], `bias` [R]; the next list is scored with them."""
        self.knowledge.apply_rows(item_ids, vectors, bias)

    def recommend(self, requests: Sequence[Request], served_at: int) -> list[Record]:
        """A `recommendations` record for each request, in order; `served_at` is wall time in milliseconds.

        Orders and matrices are as of the last `knowledge.refresh()`.
        """
        if not requests:
            return []
        users = [self.knowledge.users.get(request.user_id) for request in requests]
        with self._ranked(requests, users) as (batch, ranked), self._timer("policy"):
            return self._slates.build(batch, ranked, self.model_version, served_at)

    def rank(self, requests: Sequence[Request], users: Sequence[User]) -> Ranked:
        """The considered candidates in order, before any policy, for users as they are given: what evaluation looks at."""
        with self._ranked(requests, users) as (_, ranked):
            return ranked

    @contextmanager
    def _ranked(self, requests: Sequence[Request], users: Sequence[User]) -> Iterator[tuple[Batch, Ranked]]:
        with self._timer("gather"):
            blocked = [self._blocked_rows(request, user) for request, user in zip(requests, users, strict=True)]
            kept = [self._kept(request, rows) for request, rows in zip(requests, blocked, strict=True)]
        with self._blocked.marked(blocked, kept, len(self.knowledge.catalogue)) as matrix:
            batch = self._batch(requests, users, matrix, blocked, kept)
            yield batch, self._rank(batch, _padded(blocked))

    def _batch(
        self,
        requests: Sequence[Request],
        users: Sequence[User],
        matrix: Bool,
        blocked: list[I32],
        kept: list[I64 | None],
    ) -> Batch:
        at = np.array([request.requested_at for request in requests], np.int64)
        scenarios = np.array([self._scenarios[request.scenario].id for request in requests], np.int64)
        pools = [
            self._pool(int(scenario), rows, keep) for scenario, rows, keep in zip(scenarios, blocked, kept, strict=True)
        ]
        return Batch(
            requests=requests,
            users=users,
            histories=self.knowledge.users.gather(users, at),
            scenarios=scenarios,
            at=at,
            blocked=matrix,
            pool_sizes=pools,
            kept=kept,
        )

    def _rank(self, batch: Batch, excluded: I64) -> Ranked:
        with self._timer("encode"):
            encoded = self._encode(batch, excluded)
        context = BatchContext(self.knowledge, batch, encoded)
        with self._timer("sources"):
            candidates = self._pipeline.candidates(batch, encoded, context.neighbours)
        with self._timer("features"):
            features = self._features.compute(context, candidates)
        with self._timer("rank"):
            scores, predictions = self._score(features.astype(np.float32), batch)
        return Ranked(
            candidates, features, scores, predictions, _ranking(scores, candidates, self._named(batch, candidates))
        )

    def _encode(self, batch: Batch, excluded: I64) -> Encoded | None:
        if self.model is None:
            return None
        if self.knowledge.nearest.ready:
            return self._encode_nearest(self.model, batch)
        users, scores = np.empty((len(batch), DIM), np.float32), np.empty((len(batch), TOP_K), np.float32)
        rows = np.empty((len(batch), TOP_K), np.int64)
        for scenario, lines in _by_scenario(batch):
            table, bias = self.knowledge.table.view(len(self.knowledge.catalogue), scenario)
            users[lines], scores[lines], rows[lines] = self.model.encode(
                table, bias, batch.histories.of(lines), batch.scenarios[lines], excluded[lines]
            )
        # Rows beyond the catalogue are padding that the graph needs to have TOP_K of anything.
        real = (scores > PADDING_BIAS / 2) & (rows < len(self.knowledge.catalogue)) & (rows != PADDING_ROW)
        return Encoded(users, np.where(real, rows, PADDING_ROW), real)

    def _encode_nearest(self, model: Model, batch: Batch) -> Encoded:
        """The graph reads the rows of the histories alone; the best of all rows come from the index, seen ones among them."""
        self.knowledge.table.ensure(len(self.knowledge.catalogue))
        table, history = used_rows(batch.histories.rows, self.knowledge.table.vectors, FIRST_CAPACITY)
        histories = replace(batch.histories, rows=history)
        bias, none = np.zeros(len(table), np.float32), np.zeros((len(batch), 1), np.int64)
        users, _, _ = model.encode(table, bias, histories, batch.scenarios, none)
        rows = np.empty((len(batch), TOP_K + HISTORY), np.int64)
        scores = np.empty(rows.shape, np.float32)
        for scenario, lines in _by_scenario(batch):
            rows[lines], scores[lines] = self.knowledge.nearest.search(
                users[lines], scenario, TOP_K + HISTORY, self.knowledge.table
            )
        return Encoded(users, rows, scores > PADDING_BIAS / 2)

    def _score(self, features: F32, batch: Batch) -> tuple[F32, F32 | None]:
        if self.model is None:
            return counting_scores(features), None
        return self.model.rank(features, batch.scenarios)

    def _kept(self, request: Request, blocked: I32) -> I64 | None:
        return self._query.kept(
            request, self.knowledge.catalogue.eligible[self._scenarios[request.scenario].id], blocked
        )

    def _named(self, batch: Batch, candidates: Candidates) -> Bool:
        """[B, C]: which candidates their request's query names in full."""
        named = np.zeros(candidates.rows.shape, bool)
        for line, request in enumerate(batch.requests):
            if request.query and request.candidates is None:
                named[line] = np.isin(candidates.rows[line], self._query.named(request.query))
        return named

    def _blocked_rows(self, request: Request, user: User) -> I32:
        wanted = self._scenarios[request.scenario].filters
        found = [rows for each in self._filters if each.name in wanted and len(rows := each.rows(request, user))]
        if len(found) == 1:
            return found[0]
        return np.unique(np.concatenate(found)) if found else np.zeros(0, np.int32)

    def _pool(self, scenario: int, blocked: I32, kept: I64 | None) -> int:
        """How many items may be in the list."""
        eligible = self.knowledge.catalogue.eligible[scenario]
        if kept is not None:
            return int(eligible[kept].sum() - eligible[np.intersect1d(kept, blocked)].sum())
        return self.knowledge.catalogue.eligible_count[scenario] - int(eligible[blocked].sum())


def _by_scenario(batch: Batch) -> Iterator[tuple[int, I64]]:
    """The scenarios of a batch, and the requests of each."""
    for scenario in np.unique(batch.scenarios).tolist():
        yield scenario, np.flatnonzero(batch.scenarios == scenario)


def _padded(blocked: Sequence[I32]) -> I64:
    """Rows of each request as a matrix [B, S], padded with PADDING_ROW; S is at least 1."""
    width = max(1, *(len(rows) for rows in blocked))
    out = np.full((len(blocked), width), PADDING_ROW, np.int64)
    for line, rows in enumerate(blocked):
        out[line, : len(rows)] = rows
    return out


def _ranking(scores: F32, candidates: Candidates, named: Bool) -> I64:
    """Columns of each request: those that it names first, best first; columns that hold no candidate come last."""
    order: I64 = np.lexsort((-scores, np.where(candidates.valid, ~named, 2)), axis=1)
    return order
