"""Wires the gateway."""

import asyncio
from contextlib import AsyncExitStack

from eddy.clock import SystemClock
from eddy.contract.scenarios import load_scenarios, watch_scenarios
from eddy.contract.topics import ITEMS, MODEL_RELEASES, RECOMMENDATIONS
from eddy.kafka.bus import Bus, Reader
from eddy.runtime import Health, serve_http
from eddy_gateway.console.pulse import Pulse
from eddy_gateway.console.routes import Console, add_console
from eddy_gateway.console.shelf import Shelf
from eddy_gateway.core.rules import Rules
from eddy_gateway.settings import GatewaySettings
from eddy_gateway.shell.api import Gateway, build_app
from eddy_gateway.shell.pending_requests import PendingRequests
from eddy_gateway.shell.publisher import EventPublisher


async def main(settings: GatewaySettings, health: Health) -> None:
    """Run until cancelled; what is under way is then finished first.

    Raises FatalError when Kafka is away at the start or the port is taken, ConfigError for an open door to the network.
    """
    scenarios = load_scenarios(settings.scenarios_path)
    rules = Rules(scenarios)
    bus = Bus(settings)
    await bus.create_topics("gateway")
    answers = PendingRequests()
    async with AsyncExitStack() as stack:

        async def reader_of(topic: str) -> Reader:
            return await stack.enter_async_context(bus.reader(bus.topic_partitions(topic)))

        producer, reader = await stack.enter_async_context(bus.producer()), await reader_of(RECOMMENDATIONS)
        publisher = EventPublisher(producer, settings.gateway_publish_timeout_sec)
        app = build_app(Gateway(rules, publisher, answers, SystemClock(), settings), health)
        async with asyncio.TaskGroup() as tasks:
            if settings.gateway_console:
                console = Console(scenarios, Shelf(), Pulse(bus))
                add_console(app, console)
                tasks.create_task(console.shelf.run(await reader_of(ITEMS)))
                tasks.create_task(console.pulse.run(await reader_of(MODEL_RELEASES)))
            tasks.create_task(watch_scenarios(settings.scenarios_path, scenarios))
            tasks.create_task(answers.run(reader, health))
            # Cancelled first, and drained before those who read the answers are.
            await serve_http(app, settings.http_host, settings.gateway_http_port)
