"""Wiring of the features service."""

import asyncio
import gc
import time
from contextlib import AsyncExitStack

from eddy.clock import SystemClock
from eddy.contract.poison import PoisonRuns
from eddy.contract.scenarios import load_scenarios, watch_scenarios
from eddy.contract.topics import ITEM_FEATURES, ITEM_SIGNALS, USER_EVENTS, USER_FEATURES
from eddy.errors import FatalError
from eddy.kafka.bus import Bus
from eddy.kafka.dead_letters import DeadLetters
from eddy.runtime import Health, serve_health
from eddy_features.core.cleaning import Cleaner
from eddy_features.core.expiry import Expiry
from eddy_features.core.item_state import ItemPolicy, ItemRules
from eddy_features.core.item_updater import ItemUpdater
from eddy_features.core.precedence import item_as_of, replaces_item, replaces_user, user_as_of
from eddy_features.core.slates import ServedSlates
from eddy_features.core.user_state import UserPolicy
from eddy_features.core.user_updater import UserUpdater
from eddy_features.settings import FeaturesSettings
from eddy_features.shell.erasure_forwarder import ErasureForwarder
from eddy_features.shell.faust_app import FaustApp, FaustOptions
from eddy_features.shell.publisher import BATCH_BYTES, SERVICE, StatePublisher
from eddy_features.shell.slate_reader import SlateReader
from eddy_features.shell.worker import FeaturesWorker, ItemPipeline, UserPipeline


async def main(settings: FeaturesSettings, health: Health) -> None:
    """Run until cancelled. Raises FatalError when recovery hangs or Kafka cannot be reached."""
    # Many states, few reference cycles: at the default thresholds the collector costs more than it frees. Young garbage may take 2 MB.
    gc.set_threshold(20_000, 50, 1000)
    scenarios = load_scenarios(settings.scenarios_path)
    bus = Bus(settings)
    await bus.create_topics("features")
    app = FaustApp(_options(settings, bus))
    user_store = app.table(bus.full_name(USER_FEATURES), replaces_user)
    item_store = app.table(bus.full_name(ITEM_FEATURES), replaces_item)
    cleaner = Cleaner(scenarios, bus.partition_of_key)
    slates, clock = ServedSlates(int(settings.features_slates_sec * 1000)), SystemClock()
    policy = UserPolicy(seen=settings.features_seen_items)
    user_updater = UserUpdater(
        cleaner, policy, user_store, settings.features_decoded_users, slates, bus.topic_id(USER_EVENTS)
    )
    item_rules = ItemRules(scenarios, ItemPolicy(bounded=settings.bound_newcomers))
    item_updater = ItemUpdater(item_rules, item_store, settings.features_decoded_items)
    max_records = settings.features_batch_events
    async with AsyncExitStack() as stack:
        runs = PoisonRuns(settings.poison_limit)

        async def publishers() -> tuple[StatePublisher, DeadLetters]:
            producer = await stack.enter_async_context(bus.producer(max_batch_size=BATCH_BYTES))
            return StatePublisher(producer, bus), DeadLetters(SERVICE, bus, producer, clock, runs)

        reader = await stack.enter_async_context(SlateReader(bus, slates, clock))
        users = UserPipeline(
            app,
            *await publishers(),
            user_updater,
            user_store,
            max_records,
            clock,
            reader,
            Expiry(settings.user_expiry_days, user_as_of),
        )
        items = ItemPipeline(
            app,
            *await publishers(),
            item_updater,
            item_store,
            settings.features_decoded_items,
            Expiry(settings.item_expiry_days, item_as_of),
        )
        producer = await stack.enter_async_context(bus.producer())
        forwarder = ErasureForwarder(
            bus,
            producer,
            DeadLetters(SERVICE, bus, producer, clock, runs),
            settings.features_instance_id,
            settings.features_session_timeout_sec,
        )
        worker = FeaturesWorker(app, bus, health, users, items, max_records)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        tasks.create_task(bus.watch_topics())
        tasks.create_task(watch_scenarios(settings.scenarios_path, scenarios))
        tasks.create_task(serve_health(health, settings.http_host, settings.features_http_port))
        tasks.create_task(forwarder.run())
        tasks.create_task(users.queue.run())
        tasks.create_task(items.queue.run())
        tasks.create_task(_watch(app, health, settings.features_recovery_stall_sec))
        tasks.create_task(app.run(worker, bus, [USER_EVENTS, ITEM_SIGNALS]))


def _options(settings: FeaturesSettings, bus: Bus) -> FaustOptions:
    datadir = settings.state_dir / SERVICE
    datadir.mkdir(parents=True, exist_ok=True)
    return FaustOptions(
        group=bus.full_name(SERVICE),
        servers=bus.servers,
        login=bus.login,
        datadir=str(datadir),
        url=f"http://{settings.features_instance_id or f'{settings.http_host}:{settings.features_http_port}'}",
        instance_id=settings.features_instance_id,
        session_timeout_sec=settings.features_session_timeout_sec,
        commit_interval_sec=settings.features_commit_interval_sec,
        batch_records=settings.features_batch_events,
    )


async def _watch(app: FaustApp, health: Health, stall_sec: float) -> None:
    """Raise FatalError when the member was removed from its group, or when recovery makes no progress.

    Faust's recovery hangs now and then; a new process recovers.
    """
    progress, progressed_at = (False, -1), time.monotonic()
    while True:
        await asyncio.sleep(1)
        app.check()
        remaining = app.remaining()
        health.details["recovery_remaining"] = remaining
        if app.recovered or (app.assigned, remaining) != progress:
            progress, progressed_at = (app.assigned, remaining), time.monotonic()
        elif time.monotonic() - progressed_at > stall_sec:
            raise FatalError(
                f"recovery made no progress for {stall_sec:.0f} s; {remaining} records remain to be read. Restart the service."
            )
