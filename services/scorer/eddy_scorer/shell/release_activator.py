"""Activates releases: the model is built in another thread, then embeddings and graphs change between two batches."""

import asyncio
from collections.abc import Callable, Mapping

import structlog

from eddy.contract.codec import Codec
from eddy.contract.topics import MODEL_RELEASES
from eddy.errors import PoisonError
from eddy.last_good_release import LastGoodRelease
from eddy.metrics import ACTIVATED_RELEASES, MODEL_VERSION, STUCK_RELEASES
from eddy_scorer.core.model.graphs import OnnxModel, StuckLoadError, stuck_loads
from eddy_scorer.core.model.probe import Probe
from eddy_scorer.core.model.releases import ReleaseStaging, StagedRelease
from eddy_scorer.core.ranking.recommender import Recommender
from eddy_scorer.shell.freshness import Freshness
from eddy_scorer.shell.refused_releases import RefusedReleases
from eddy_scorer.shell.stuck_releases import StuckReleases

log = structlog.get_logger()


class ReleaseActivator:
    """Activates the newest complete release. A release whose graphs do not run is refused, and the former one continues to serve."""

    def __init__(
        self,
        recommender: Recommender,
        staging: ReleaseStaging,
        positions: Mapping[int, int],
        refused: RefusedReleases,
        last_good: LastGoodRelease,
        stuck: StuckReleases,
        freshness: Freshness,
        on_activated: Callable[[], None] = lambda: None,
    ) -> None:
        self._freshness = freshness
        self._recommender = recommender
        self._staging = staging
        self._positions = positions
        self._refused = refused
        self._last_good = last_good
        self._stuck = stuck
        self._probe = Probe(len(recommender.columns.features))
        self._on_activated = on_activated
        self._changed = asyncio.Event()

    def notify(self) -> None:
        """Check for complete releases: a release or embeddings were read."""
        self._changed.set()

    async def run(self) -> None:
        """Activate releases until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self.activate_next()

    async def activate_next(self) -> None:
        """Activate the newest complete release, if there is one."""
        while staged := self._staging.next_complete(self._positions):
            try:
                model = await self._load(staged)
            except PoisonError as error:
                self._staging.rejected(staged)
                await self._refused.refuse(staged.message, error)
            else:
                self._activate(model, staged)
                await asyncio.to_thread(self._last_good.save, staged.message.value)

    async def _load(self, staged: StagedRelease) -> OnnxModel:
        value = staged.message.value
        self._stuck.check(value)
        try:
            return await asyncio.to_thread(OnnxModel.load, staged.release, self._recommender.columns, self._probe)
        except StuckLoadError:
            self._stuck.add(value)
            raise
        finally:
            STUCK_RELEASES.set(stuck_loads())

    async def activate_first(self) -> None:
        """At the start, activate the newest good release of the topic, otherwise the copy of the one that served last."""
        await self.activate_next()
        copy = self._last_good.load()
        if self._recommender.model is not None or copy is None:
            return
        try:
            self._staging.stage_release(Codec.for_topic(MODEL_RELEASES).decode(copy.value), copy, 0)
        except PoisonError as error:
            self._last_good.set_aside(error)
            return
        await self.activate_next()

    def _activate(self, model: OnnxModel, staged: StagedRelease) -> None:
        """Replace embeddings and graphs without an await, so that each slate is scored by exactly one version."""
        items = self._recommender.state.items
        first = self._recommender.model is None
        # At the start, compaction may have left an item only an embedding of a later version.
        candidates = self._staging.staged_items() if first else []
        update = self._staging.take_embeddings(
            staged.version, frozenset(item for item in candidates if not items.has_embedding(item))
        )
        if update.item_ids:
            items.set_embeddings(update.item_ids, update.vectors, update.bias)
        if update.expired:
            items.drop_embeddings(update.expired)
        self._recommender.model = model
        self._staging.activated(staged)
        self._freshness.release_activated(
            staged.version, staged.release["released_at"], int(staged.release["metrics"].get("acted_at", 0))
        )
        MODEL_VERSION.set(staged.version)
        ACTIVATED_RELEASES.inc()
        log.info(
            "release_activated", version=staged.version, embeddings=len(update.item_ids), expired=len(update.expired)
        )
        self._on_activated()
