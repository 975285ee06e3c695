"""Takes releases live: built and warmed in another thread, then rows and graphs change between two batches."""

import asyncio
from collections.abc import Callable, Mapping

import structlog

from eddy.errors import PoisonError
from eddy.kafka.dead_letters import DeadLetters
from eddy.metrics import ACTIVATED_RELEASES, MODEL_VERSION, REFUSED_RELEASES
from eddy_scorer.core.model.graphs import OnnxModel
from eddy_scorer.core.model.releases import ReleaseStaging, StagedRelease
from eddy_scorer.core.ranking.recommender import Recommender
from eddy_scorer.shell.freshness import Freshness

log = structlog.get_logger()


class ReleaseActivator:
    """Waits for releases whose rows are complete and makes them serve; one that does not run is refused, the old one goes on."""

    def __init__(
        self,
        recommender: Recommender,
        staging: ReleaseStaging,
        positions: Mapping[int, int],
        dead_letters: DeadLetters,
        freshness: Freshness,
        on_swap: Callable[[], None] = lambda: None,
    ) -> None:
        self._freshness = freshness
        self._recommender = recommender
        self._staging = staging
        self._positions = positions
        self._dead_letters = dead_letters
        self._on_swap = on_swap
        self._news = asyncio.Event()

    def notify(self) -> None:
        """A release or rows arrived."""
        self._news.set()

    async def run(self) -> None:
        """Take releases until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self.take_due()

    async def take_due(self) -> None:
        """Take the newest release that is complete, if there is one."""
        while offer := self._staging.due(self._positions):
            try:
                model = await asyncio.to_thread(OnnxModel.load, offer.release, self._recommender.columns)
            except PoisonError as error:
                await self._refuse(offer, error)
            else:
                self._flip(model, offer)

    def _flip(self, model: OnnxModel, offer: StagedRelease) -> None:
        """No await in here: a slate is scored by rows and graphs of exactly one version."""
        items = self._recommender.state.items
        first = self._recommender.model is None
        # At the start compaction may have left an item nothing but a row of a later version.
        also = self._staging.staged_items() if first else []
        rows = self._staging.rows_for(offer.version, frozenset(item for item in also if not items.has_embedding(item)))
        if rows.item_ids:
            items.set_embeddings(rows.item_ids, rows.vectors, rows.bias)
        if rows.dropped:
            items.drop_embeddings(rows.dropped)
        self._recommender.model = model
        self._staging.taken(offer)
        self._freshness.taken(
            offer.version, offer.release["released_at"], int(offer.release["metrics"].get("acted_at", 0))
        )
        MODEL_VERSION.set(offer.version)
        ACTIVATED_RELEASES.inc()
        log.info("release_activated", version=offer.version, rows=len(rows.item_ids), dropped=len(rows.dropped))
        self._on_swap()

    async def _refuse(self, offer: StagedRelease, error: PoisonError) -> None:
        self._staging.refused(offer)
        REFUSED_RELEASES.labels(error.reason).inc()
        log.warning("release_refused", version=offer.version, reason=error.reason, detail=error.detail)
        await self._dead_letters.refuse(offer.message, error)
