"""server.properties and the log configuration of a single-node Kafka for one machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from eddy_cli.ports import HOST

MAX_MESSAGE_BYTES = 20 * 1024 * 1024


@dataclass(frozen=True)
class Ports:
    """`clients` is the port of the bootstrap servers, `controller` that of the node's quorum."""

    clients: int
    controller: int


def server_properties(ports: Ports, data: Path, overrides: Mapping[str, object] = MappingProxyType({})) -> str:
    """Properties of one node that is broker and controller, with small thread pools. `overrides` take precedence."""
    return "\n".join(f"{name}={value}" for name, value in {**_settings(ports, data), **overrides}.items()) + "\n"


def _settings(ports: Ports, data: Path) -> dict[str, object]:
    clients, controller = f"PLAINTEXT://{HOST}:{ports.clients}", f"CONTROLLER://{HOST}:{ports.controller}"
    return {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.bootstrap.servers": f"{HOST}:{ports.controller}",
        "listeners": f"{clients},{controller}",
        "advertised.listeners": f"{clients},{controller}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": data,
        "log.message.timestamp.type": "LogAppendTime",
        "message.max.bytes": MAX_MESSAGE_BYTES,
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 8,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 8,
        # The default waits 3 s for further members before the first assignment of a group.
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 4,
        "log.cleaner.dedupe.buffer.size": 32 * 1024 * 1024,
        # Index files are allocated in full, by default 10 MB for each of hundreds of partitions.
        "log.index.size.max.bytes": 1024 * 1024,
    }


def log4j_properties(log_file: Path) -> str:
    """Log messages from INFO on to `log_file`, with one rolled file."""
    return f"""
status = off
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {log_file}
appender.file.filePattern = {log_file}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{{ISO8601}} %p %m (%c{{1}})%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 20MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 1
rootLogger.level = info
rootLogger.appenderRef.file.ref = file
"""
