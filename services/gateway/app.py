"""Wires the gateway."""

import asyncio

from services.gateway.answers import Answers
from services.gateway.api import Gateway, build_app
from services.gateway.publisher import Publisher
from services.gateway.rules import Rules
from services.gateway.settings import GatewaySettings
from shared.clock import SystemClock
from shared.kafka import Bus
from shared.runtime import Health, serve_http
from shared.scenarios import follow_scenarios, load_scenarios
from shared.topics import RECOMMENDATIONS


async def main(settings: GatewaySettings, health: Health) -> None:
    """Run until cancelled. Raises FatalError when Kafka is away at the start or the port is taken."""
    scenarios = load_scenarios(settings.scenarios_path)
    rules = Rules(scenarios)
    bus = Bus(settings)
    await bus.create_topics()
    answers = Answers()
    async with bus.producer() as producer, bus.reader(bus.topic_partitions(RECOMMENDATIONS)) as reader:
        publisher = Publisher(producer, settings.gateway_publish_timeout_sec)
        app = build_app(Gateway(rules, publisher, answers, SystemClock(), settings), health)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(follow_scenarios(settings.scenarios_path, scenarios))
            tasks.create_task(answers.run(reader, health))
            tasks.create_task(serve_http(app, settings.http_host, settings.gateway_http_port))
