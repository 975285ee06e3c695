"""Runs the five services on one machine, on a configured or an own Kafka: `eddy run`, `eddy exec` and `eddy demo`."""

import asyncio
import os
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from eddy.kafka.bus import Bus
from eddy.keys import ensure_keys
from eddy.ready import is_ready
from eddy.settings import PREFIX, Settings, load
from eddy_cli.broker import Broker, running_broker
from eddy_cli.ports import HOST, can_listen, free_port
from eddy_cli.processes import ProcessGroup
from eddy_cli.replay.options import MAX_SKEW_SEC
from eddy_cli.scratch import scratch_folder
from eddy_cli.services import SERVICES
from eddy_trainer.settings import TrainerSettings

GATEWAY_PORT = 8000
READY_POLL_SEC = 0.25


@dataclass(frozen=True)
class Stack:
    """The settings of a stack, and the HTTP port of each service."""

    settings: Settings
    ports: Mapping[str, int]

    def url(self, service: str) -> str:
        return f"http://{HOST}:{self.ports[service]}"

    def environment(self) -> dict[str, str]:
        """Environment of every process of the stack."""
        values = {
            "KAFKA_BOOTSTRAP_SERVERS": self.settings.kafka_bootstrap_servers,
            "TOPIC_PREFIX": self.settings.topic_prefix,
            "STATE_DIR": self.settings.state_dir,
            "LOG_LEVEL": self.settings.log_level,
            **{f"{service.upper()}_HTTP_PORT": port for service, port in self.ports.items()},
        }
        return {
            **os.environ,
            **{PREFIX + name: str(value) for name, value in values.items()},
            "PYTHONUNBUFFERED": "1",
        }

    def main_environment(self) -> dict[str, str]:
        """Environment of the main command: with the addresses of the services, and 130 columns for its tables."""
        urls = ",".join(f"{service}={self.url(service)}" for service in self.ports)
        return {
            **({} if sys.stdout.isatty() else {"COLUMNS": "130"}),
            **self.environment(),
            f"{PREFIX}REPLAY_READY_URLS": urls,
            f"{PREFIX}REPLAY_JOINER_URL": self.url("joiner"),
        }


def run_stack(command: Sequence[str] = ()) -> int:
    """Run the services, and optionally a `command`; returns the exit code of the first process that ends.

    Without EDDY_KAFKA_BOOTSTRAP_SERVERS an own Kafka is started. On a configured Kafka a command gets topics of its own, which are
    deleted at the end, unless EDDY_TOPIC_PREFIX is set. Raises ConfigError and FatalError before anything is started.
    """
    settings = load(Settings)
    ensure_local_keys(load(TrainerSettings))
    ports = choose_ports()
    configured = settings.model_fields_set
    with ExitStack() as stack:
        broker = None if "kafka_bootstrap_servers" in configured else stack.enter_context(running_broker())
        changes: dict[str, object] = {}
        if broker:
            changes["kafka_bootstrap_servers"] = broker.bootstrap_servers
        if command and "log_level" not in configured:
            changes["log_level"] = "warning"
        if (broker or command) and "state_dir" not in configured:
            changes["state_dir"] = stack.enter_context(scratch_folder("state"))
        own_topics = broker is None and bool(command) and "topic_prefix" not in configured
        if own_topics:
            changes["topic_prefix"] = f"run-{uuid.uuid4().hex[:8]}."
        settings = settings.model_copy(update=changes)
        bus = Bus(settings)
        asyncio.run(bus.create_topics())
        if own_topics:
            stack.callback(lambda: asyncio.run(bus.delete_topics()))
        return _run(Stack(settings, ports), command, broker)


def ensure_local_keys(settings: TrainerSettings) -> None:
    """Create the key pair of releases in the state folder, unless a setting names another place for one of the keys."""
    if not settings.model_fields_set & {"trainer_signing_key", "release_public_keys"}:
        ensure_keys(settings.trainer_signing_key, settings.release_public_keys)


def choose_ports() -> dict[str, int]:
    """The HTTP port of each service: as set, for the gateway the default port if that is free, otherwise any free port.

    Raises ConfigError for invalid settings of any service, before anything is started.
    """
    return {service: _port(service, load(settings)) for service, settings in SERVICES.items()}


def _port(service: str, settings: Settings) -> int:
    name = f"{service}_http_port"
    if name in settings.model_fields_set:
        port: int = getattr(settings, name)
        return port
    return GATEWAY_PORT if service == "gateway" and can_listen(GATEWAY_PORT) else free_port()


def _run(stack: Stack, command: Sequence[str], broker: Broker | None) -> int:
    group = ProcessGroup()
    # In a replay the users' event times differ, which the joiner has to allow for.
    lateness = {f"{PREFIX}JOINER_LATENESS_SEC": str(MAX_SKEW_SEC)} if command else {}
    for service in SERVICES:
        group.add(service, [sys.executable, "-m", f"eddy_{service}"], {**lateness, **stack.environment()})
    if command:
        group.add_main(_short_name(command), command, stack.main_environment())
    if broker:
        group.watch(lambda: _watch_broker(broker, group))
    group.watch(lambda: _announce(stack, group))
    return group.run()


def _short_name(command: Sequence[str]) -> str:
    """ "replay" for `python -m eddy_cli replay`."""
    return command[3] if command[1:3] == ["-m", "eddy_cli"] else Path(command[0]).name


def _watch_broker(broker: Broker, group: ProcessGroup) -> None:
    if failure := broker.wait():
        group.fail(f"kafka: {failure}")


def _announce(stack: Stack, group: ProcessGroup) -> None:
    starting = dict.fromkeys(SERVICES)
    while starting and not group.stopping:
        for service in [service for service in starting if is_ready(stack.url(service))]:
            del starting[service]
        time.sleep(READY_POLL_SEC)
    if not starting:
        gateway = stack.url("gateway")
        group.say(
            f"ready: console on {gateway}, API on {gateway}/docs, Kafka on {stack.settings.kafka_bootstrap_servers}"
        )
