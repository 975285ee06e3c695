"""Wires the scorer."""

import asyncio
import gc
from collections.abc import Callable
from functools import partial

import numpy as np
import structlog

from eddy.clock import SystemClock
from eddy.contract.poison import PoisonRuns
from eddy.contract.scenarios import Scenario, load_scenarios, watch_scenarios
from eddy.contract.topics import (
    ITEM_EMBEDDINGS,
    ITEM_FEATURES,
    ITEMS,
    MODEL_RELEASES,
    RECOMMENDATION_REQUESTS,
    USER_FEATURES,
)
from eddy.kafka.bus import Bus, Producer
from eddy.kafka.dead_letters import DeadLetters
from eddy.kafka.group import Membership
from eddy.keys import read_release_keys
from eddy.last_good_release import LastGoodRelease
from eddy.metrics import (
    COVERAGE,
    EMPTY_SLATES,
    EXPOSURE_GINI,
    MODEL_VERSION,
    STAGE_SECONDS,
    TOP_EXPOSURE,
    UNPUBLISHED_ITEMS,
)
from eddy.runtime import Health, serve_health
from eddy.text import TextModel
from eddy_scorer.core.broker_clock import BrokerClock
from eddy_scorer.core.model.releases import ReleaseStaging
from eddy_scorer.core.ranking.recommender import Recommender
from eddy_scorer.core.state.users import User
from eddy_scorer.settings import ScorerSettings
from eddy_scorer.shell.follower import Follower
from eddy_scorer.shell.freshness import Freshness
from eddy_scorer.shell.refused_releases import RefusedReleases
from eddy_scorer.shell.release_activator import ReleaseActivator
from eddy_scorer.shell.request_queue import RequestQueue
from eddy_scorer.shell.requests_reader import RequestDecoder, RequestsReader
from eddy_scorer.shell.service import SERVICE
from eddy_scorer.shell.serving import ServingLoop, SlatePusher
from eddy_scorer.shell.slate_publisher import SlatePublisher
from eddy_scorer.shell.source_metrics import SourceMetrics
from eddy_scorer.shell.state_updater import StateUpdater
from eddy_scorer.shell.stuck_releases import StuckReleases
from eddy_scorer.shell.user_partitions import UserPartitions

_REBUILD_POLL_SEC = 0.02
_EXPOSURE_SEC = 5.0

log = structlog.get_logger()


async def main(settings: ScorerSettings, health: Health) -> None:
    """Run until cancelled. Raises FatalError when Kafka is unreachable or a slate cannot be published."""
    bus = Bus(settings)
    await bus.create_topics("scorer")
    async with bus.producer() as producer, asyncio.TaskGroup() as tasks:
        tasks.create_task(bus.watch_topics())
        await Scorer(settings, health, bus, producer, tasks).start()


def freeze_heap() -> None:
    """Exempt the loaded state from garbage collection and collect rarely: a pass over millions of objects delays a batch."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 50, 1000)


class Scorer:
    """The parts of the service, connected by callbacks."""

    def __init__(
        self, settings: ScorerSettings, health: Health, bus: Bus, producer: Producer, tasks: asyncio.TaskGroup
    ) -> None:
        self._settings = settings
        self._health = health
        self._tasks = tasks
        clock = SystemClock()
        broker_clock = BrokerClock(clock)
        self._scenarios = scenarios = load_scenarios(settings.scenarios_path)
        scenarios.subscribe(self._scenario_added)
        stages = partial(STAGE_SECONDS.labels, SERVICE)
        self.recommender = Recommender(
            scenarios,
            np.random.default_rng(settings.scorer_seed),
            timer=lambda stage: stages(stage).time(),
            approximate_from=settings.scorer_approximate_from,
            texts=TextModel.load(settings.text_model),
            monitor=SourceMetrics(),
            columns=settings.columns,
        )
        self._state = self.recommender.state
        self._dead_letters = DeadLetters(SERVICE, bus, producer, clock, PoisonRuns(settings.poison_limit))
        self._staging = ReleaseStaging(read_release_keys(settings.release_public_keys))
        self._queue = RequestQueue(lambda user_id: self._state.users.get(user_id).applied_offset)
        self._pusher = SlatePusher(self.recommender, self._queue, settings.scorer_push_limit)
        freshness = Freshness()
        self._publisher = SlatePublisher(producer, clock, broker_clock, tasks, freshness)
        self._serving = ServingLoop(
            self.recommender, self._queue, self._publisher, clock, broker_clock, health, settings.scorer_max_batch
        )
        updater = StateUpdater(
            self.recommender, self._staging, self._user_changed, bus.partition_of_key, self._queue.user_erased
        )

        self._refused = RefusedReleases(self._dead_letters)

        def follower(topic: str, on_batch: Callable[[], None] = lambda: None) -> Follower:
            refuse = {MODEL_RELEASES: self._refused.refuse, ITEM_EMBEDDINGS: self._refused.refuse_embedding}.get(topic)
            return Follower(bus, topic, updater.apply, self._dead_letters, on_batch, self._report_recovery, refuse)

        self._users = UserPartitions(
            follower(USER_FEATURES, self._serving.wake), self._state.users, self._partition_loaded
        )
        embeddings = follower(ITEM_EMBEDDINGS, self._notify_activator)
        self._activator = ReleaseActivator(
            self.recommender,
            self._staging,
            embeddings.positions,
            self._refused,
            LastGoodRelease(settings.state_dir / f"scorer-{settings.topic_prefix or 'main'}.release"),
            StuckReleases(settings.state_dir / f"scorer-{settings.topic_prefix or 'main'}.stuck"),
            freshness,
            self._serving.wake,
        )
        releases = follower(MODEL_RELEASES, self._notify_activator)
        self._item_followers = [follower(ITEMS), follower(ITEM_FEATURES), embeddings, releases]
        self._partitions = set(range(bus.partitions))
        self._requests = RequestsReader(
            bus,
            Membership(
                RECOMMENDATION_REQUESTS,
                settings.scorer_group,
                settings.scorer_instance_id,
                "EDDY_SCORER_INSTANCE_ID",
                settings.scorer_session_timeout_sec,
            ),
            RequestDecoder(scenarios, broker_clock, settings.scorer_max_wait_ms, bus.partition_of_key),
            self._queue,
            self._users,
            self._dead_letters,
            self._serving.wake,
            self._publisher.finish,
            self._publisher.refuse,
        )

    async def start(self) -> None:
        """Recover the item topics, then start all loops in the task group."""
        settings, run = self._settings, self._tasks.create_task
        run(watch_scenarios(settings.scenarios_path, self._scenarios))
        run(serve_health(self._health, settings.http_host, settings.scorer_http_port))
        run(self._update_health())
        await self._recover_items()
        run(self._activator.run())
        run(self._rebuild_loop())
        run(self._observe_exposure())
        run(self._users.run())
        run(self._serving.run(self._requests.done, self._requests.drop_useless))
        run(self._requests.commit_loop())
        run(self._requests.run())

    async def _recover_items(self) -> None:
        """Read the item topics to their ends, then take the newest release."""
        recovered = [asyncio.Event() for _ in self._item_followers]
        for follower, event in zip(self._item_followers, recovered, strict=True):
            self._tasks.create_task(follower.follow(self._partitions, event.set))
        for event in recovered:
            await event.wait()
        self._refused.following = True
        await self._activator.activate_first()
        for build in self._state.rebuilds.all():
            await asyncio.to_thread(build)
        freeze_heap()
        log.info("items_recovered", items=self._state.catalogue.item_count, version=self.recommender.model_version)

    async def _rebuild_loop(self) -> None:
        """Rebuild derived state (orders, matrices, index) in another thread when it is due; reclaim rows of items in between."""
        while True:
            for build in self._state.rebuilds.due():
                await asyncio.to_thread(build)
            self._state.row_reclaim.step()
            await asyncio.sleep(_REBUILD_POLL_SEC)

    async def _observe_exposure(self) -> None:
        while True:
            await asyncio.sleep(_EXPOSURE_SEC)
            for name, (coverage, gini) in (await asyncio.to_thread(self._state.exposures)).items():
                COVERAGE.labels(name).set(coverage)
                EXPOSURE_GINI.labels(name).set(gini)
            TOP_EXPOSURE.clear()  # one series a scenario, whatever was on top before
            for name, (item_id, share) in self._state.top_exposures().items():
                TOP_EXPOSURE.labels(name, item_id).set(share)
            for name, count in self._state.catalogue.unpublished_counts().items():
                UNPUBLISHED_ITEMS.labels(name).set(count)

    async def _update_health(self) -> None:
        """Keep readiness and the details of /readyz up to date."""
        MODEL_VERSION.set(0)
        while True:
            self._health.ready = self._requests.joined and self._users.all_loaded
            self._health.details.update(
                model_version=self.recommender.model_version,
                items=self._state.catalogue.item_count,
                users=len(self._state.users),
                partitions=sorted(self._users.assigned),
                partitions_loaded=sorted(self._users.loaded),
                waiting=len(self._queue),
            )
            await asyncio.sleep(0.1)

    def _report_recovery(self) -> None:
        """Report progress while topics are read for the first time; later the serving loop reports it."""
        if not self._health.ready:
            self._health.beat()

    def _user_changed(self, user_id: str, former: User, user: User) -> None:
        self._queue.features_changed(user_id)
        if user.partition in self._users.loaded:
            self._pusher.user_changed(user_id, former, user)

    def _partition_loaded(self, partition: int) -> None:
        self._queue.partition_loaded(partition)
        self._serving.wake()

    def _notify_activator(self) -> None:
        self._activator.notify()

    def _scenario_added(self, name: str, _scenario: Scenario) -> None:
        EMPTY_SLATES.labels(name)  # starts at 0, so that its rate shows the first empty slate
