"""The recommender without Kafka: records in, slates out."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import numpy as np

from eddy.contract.model import CURRENT_COLUMNS, Columns
from eddy.contract.records import Item, ItemFeatures, Recommendations, UserFeatures
from eddy.contract.scenarios import Scenarios
from eddy.text import TextModel
from eddy_scorer.core.model.model import ServingModel
from eddy_scorer.core.ranking.batch import CandidateBatch, RequestBatch
from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.ranking.encoding import encode
from eddy_scorer.core.ranking.executor import SourceExecutor, SourceMonitor, StrictMonitor
from eddy_scorer.core.ranking.feature_matrix import FeatureMatrix
from eddy_scorer.core.ranking.gather import BatchGatherer
from eddy_scorer.core.ranking.pipeline import CandidatePipeline
from eddy_scorer.core.ranking.popularity_fallback import fallback_scores
from eddy_scorer.core.ranking.reasons import Reasons
from eddy_scorer.core.ranking.request import Request
from eddy_scorer.core.ranking.slates import RankedCandidates, SlateBuilder
from eddy_scorer.core.ranking.source_registry import merged_sources
from eddy_scorer.core.state.arrays import F32, I64, Bool
from eddy_scorer.core.state.scorer_state import ScorerState
from eddy_scorer.core.state.users import User

Timer = Callable[[str], AbstractContextManager[object]]


def _untimed(_: str) -> AbstractContextManager[object]:
    return nullcontext()


class Recommender:
    """Keeps the state up to date with records and makes slates from it. Use it from one thread at a time.

    `rng` randomises exploration. `monotonic`, a clock in seconds, paces the rebuilds of derived state. `timer(stage)` measures the stages
    of a batch, and `monitor` its candidate sources. From `approximate_from` items on, an approximate index serves the encoder (0: never).
    `texts` embeds items and queries. `columns` has the features that are switched on.
    """

    def __init__(
        self,
        scenarios: Scenarios,
        rng: np.random.Generator,
        monotonic: Callable[[], float] = time.monotonic,
        timer: Timer = _untimed,
        approximate_from: int = 0,
        texts: TextModel | None = None,
        monitor: SourceMonitor | None = None,
        columns: Columns = CURRENT_COLUMNS,
    ) -> None:
        self.columns = columns
        self.state = ScorerState(scenarios, monotonic, approximate_from, texts)
        self.model: ServingModel | None = None
        self._timer = timer
        executor = SourceExecutor(merged_sources(), monitor or StrictMonitor())
        self._gather = BatchGatherer(self.state)
        self._pipeline = CandidatePipeline(self.state, rng, executor)
        self._features = FeatureMatrix()
        self._slates = SlateBuilder(self.state, Reasons(executor), columns)

    @property
    def model_version(self) -> int:
        """Version of the release that serves, or 0 for the popularity fallback."""
        return self.model.version if self.model else 0

    def apply_user_features(self, record: UserFeatures, partition: int = 0) -> User:
        """Apply a `user_features` record. Raises PoisonError for a malformed one."""
        return self.state.users.apply(record, partition)

    def apply_item_features(self, record: ItemFeatures) -> None:
        """Apply an `item_features` record. Raises PoisonError for a malformed one."""
        self.state.items.apply_features(record)

    def apply_item(self, record: Item, arrived_at: int = 0) -> None:
        """Apply an `item` record that Kafka received at `arrived_at` (milliseconds, 0 if unknown)."""
        self.state.items.publish(record, arrived_at)

    def set_embeddings(self, item_ids: list[str], vectors: F32, bias: F32) -> None:
        """Set item embeddings: `vectors` [R, DIM], `bias` [R]. The next slate uses them."""
        self.state.items.set_embeddings(item_ids, vectors, bias)

    def recommend(self, requests: Sequence[Request], served_at: int) -> list[Recommendations]:
        """A `recommendations` record for each request, in order; `served_at` is wall time in milliseconds.

        Orders and matrices are as of the last `state.refresh()`.
        """
        if not requests:
            return []
        users = [self.state.users.get(request.user_id) for request in requests]
        with self._ranked(requests, users) as (context, ranked), self._timer("policy"):
            return self._slates.build(context, ranked, self.model_version, served_at)

    def rank(self, requests: Sequence[Request], users: Sequence[User]) -> RankedCandidates:
        """The ranked candidates before any policy, for the given states of users. For evaluation."""
        with self._ranked(requests, users) as (_, ranked):
            return ranked

    @contextmanager
    def _ranked(
        self, requests: Sequence[Request], users: Sequence[User]
    ) -> Iterator[tuple[BatchContext, RankedCandidates]]:
        with ExitStack() as stack:
            with self._timer("gather"):
                batch = stack.enter_context(self._gather.batch(requests, users))
            yield self._rank(batch)

    def _rank(self, batch: RequestBatch) -> tuple[BatchContext, RankedCandidates]:
        with self._timer("encode"):
            encoded = None if self.model is None else encode(self.model, self.state, batch)
        context = BatchContext(self.state, batch, encoded)
        with self._timer("sources"):
            candidates = self._pipeline.candidates(context)
        with self._timer("features"):
            features = self._features.compute(context, candidates, self.columns.features)
        with self._timer("rank"):
            scores, predictions = self._score(features.astype(np.float32), batch)
            ranking = _ranking(scores, candidates, self._gather.full_matches(batch, candidates))
        actions = self.model.columns.actions if self.model is not None else ()
        return context, RankedCandidates(candidates, features, scores, predictions, actions, ranking)

    def _score(self, features: F32, batch: RequestBatch) -> tuple[F32, F32 | None]:
        if self.model is None:
            return fallback_scores(features, self.columns.features), None
        return self.model.rank(features, batch.scenarios)


def _ranking(scores: F32, candidates: CandidateBatch, full_matches: Bool) -> I64:
    """Columns of each request, best first: full matches of its query, then others; columns without a candidate come last."""
    order: I64 = np.lexsort((-scores, np.where(candidates.valid, ~full_matches, 2)), axis=1)
    return order
