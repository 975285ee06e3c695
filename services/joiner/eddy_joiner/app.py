"""Wires the joiner."""

import asyncio
import gc
import socket

from eddy.clock import SystemClock
from eddy.contract.poison import PoisonRuns
from eddy.contract.scenarios import load_scenarios, watch_scenarios
from eddy.contract.topics import USER_EVENTS
from eddy.kafka.bus import Bus
from eddy.kafka.group import GroupMember, Membership
from eddy.metrics import LATENESS
from eddy.runtime import Health, serve_health
from eddy_joiner.core.policy import AttributionPolicy
from eddy_joiner.settings import JoinerSettings
from eddy_joiner.shell.impression_ledger import ImpressionLedger
from eddy_joiner.shell.supervisor import Supervisor
from eddy_joiner.shell.worker import WorkerContext


async def main(settings: JoinerSettings, health: Health) -> None:
    """Run until cancelled. Raises FatalError when Kafka is unreachable or another joiner runs under the same instance id."""
    # Retained slates are many long-lived objects; with the default thresholds the collector would traverse them over and over.
    gc.set_threshold(20_000, 50, 1000)
    scenarios = load_scenarios(settings.scenarios_path)
    bus = Bus(settings)
    policy = AttributionPolicy(scenarios, settings.joiner_lateness_sec, bus.partition_of_key)
    await bus.create_topics("joiner")
    LATENESS.set(settings.joiner_lateness_sec)
    async with bus.reader([]) as probe, asyncio.TaskGroup() as tasks:
        clock = SystemClock()
        poison_runs = PoisonRuns(settings.poison_limit)
        context = WorkerContext(settings, policy, bus, probe, ImpressionLedger(clock), clock, poison_runs)
        tasks.create_task(bus.watch_topics())
        tasks.create_task(watch_scenarios(settings.scenarios_path, scenarios))
        tasks.create_task(serve_health(health, settings.http_host, settings.joiner_http_port))
        tasks.create_task(GroupMember(bus, _membership(settings), Supervisor(context, health)).run())


def _membership(settings: JoinerSettings) -> Membership:
    return Membership(
        USER_EVENTS,
        settings.joiner_group,
        _instance_id(settings),
        "EDDY_JOINER_INSTANCE_ID",
        settings.joiner_session_timeout_sec,
    )


def _instance_id(settings: JoinerSettings) -> str | None:
    """The static member id: the setting, or host and port. None if the system chooses the port, which would not identify the instance."""
    if settings.joiner_instance_id or not settings.joiner_http_port:
        return settings.joiner_instance_id
    return f"{socket.gethostname()}-{settings.joiner_http_port}"
