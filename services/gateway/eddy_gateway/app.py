"""Wires the gateway."""

import asyncio
from contextlib import AsyncExitStack

from eddy.clock import SystemClock
from eddy.contract.scenarios import load_scenarios, watch_scenarios
from eddy.contract.topics import ITEMS, MODEL_RELEASES, RECOMMENDATIONS
from eddy.kafka.bus import Bus, Reader
from eddy.metrics import REFUSED_REQUESTS
from eddy.runtime import Health, serve_http
from eddy_gateway.console.loop_monitor import LoopMonitor
from eddy_gateway.console.routes import Console, add_console
from eddy_gateway.core.rules import Rules
from eddy_gateway.settings import GatewaySettings
from eddy_gateway.shell.api import Gateway, build_app
from eddy_gateway.shell.item_changes import ItemChanges
from eddy_gateway.shell.item_store import ItemStore
from eddy_gateway.shell.key_store import KeyStore
from eddy_gateway.shell.log_check import check_events_log
from eddy_gateway.shell.pending_requests import PendingRequests
from eddy_gateway.shell.publisher import EventPublisher
from eddy_gateway.shell.user_records import UserRecords


async def main(settings: GatewaySettings, health: Health) -> None:
    """Run until cancelled, then finish the requests in progress.

    Raises FatalError when Kafka is unreachable at the start, the port is taken, or `user-events` is not the topic whose events are known,
    ConfigError for unusable API keys, and for a public address without any.
    """
    scenarios = load_scenarios(settings.scenarios_path)
    rules, keys = Rules(scenarios), KeyStore(settings)
    bus = Bus(settings)
    await bus.create_topics("gateway")
    await check_events_log(bus)
    pending = PendingRequests()
    async with AsyncExitStack() as stack:

        async def reader_of(topic: str) -> Reader:
            return await stack.enter_async_context(bus.reader(bus.topic_partitions(topic)))

        producer, reader = await stack.enter_async_context(bus.producer()), await reader_of(RECOMMENDATIONS)
        publisher = EventPublisher(producer, settings.gateway_publish_timeout_sec)
        items = ItemStore(bus)
        changes = ItemChanges(bus, items, rules, settings.gateway_publish_timeout_sec)
        app = build_app(
            Gateway(rules, publisher, changes, pending, SystemClock(), settings, UserRecords(bus)), health, keys
        )
        async with asyncio.TaskGroup() as tasks:
            if settings.gateway_console:
                console = Console(scenarios, items, LoopMonitor(bus))
                add_console(app, console, settings.gateway_max_streams)
                tasks.create_task(console.monitor.run(await reader_of(MODEL_RELEASES)))
            tasks.create_task(items.run(await reader_of(ITEMS)))
            tasks.create_task(changes.run())
            tasks.create_task(keys.watch())
            tasks.create_task(bus.watch_topics())
            tasks.create_task(watch_scenarios(settings.scenarios_path, scenarios))
            tasks.create_task(pending.run(reader, health))
            # Awaited here, and so cancelled and drained before the tasks above, which requests in progress need.
            await serve_http(
                app,
                settings.http_host,
                settings.gateway_http_port,
                limits=settings.http_limits,
                on_refused=lambda reason: REFUSED_REQUESTS.labels("none", reason).inc(),
                shed=app.state.shedding,
            )
