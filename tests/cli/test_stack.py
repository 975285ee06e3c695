"""The real services as one stack: start, end, and no remains."""

import re
import signal
import socket
from pathlib import Path

import pytest

from eddy.kafka.bus import Bus
from eddy.settings import Settings
from tests.cli.processes import Command, command

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

STACK = ["-m", "eddy_cli", "run"]
EXEC = ["-m", "eddy_cli", "exec", "--"]
SERVICES = ("features", "scorer", "joiner", "trainer", "gateway")


def processes_started(running: Command) -> None:
    for _ in SERVICES:
        running.read_until(" started (pid=")


def scratch_folders(running: Command) -> set[Path]:
    """Those of Kafka and of the services' state."""
    (kafka,) = (member for member in running.family if "java" in member.name())
    states = {member.environ().get("EDDY_STATE_DIR") for member in running.family if "-m" in member.cmdline()}
    return {Path(kafka.cmdline()[-1]).parent, *(Path(state) for state in states if state)}


def test_stack_starts_kafka_gets_ready_and_leaves_nothing_after_ctrl_c() -> None:
    with command(STACK, without=("EDDY_KAFKA_BOOTSTRAP_SERVERS",)) as running:
        running.read_until("ready: console on http://")
        used = scratch_folders(running)
        assert len(used) == 2
        assert all(folder.is_dir() for folder in used)
        running.send_group(signal.SIGINT)
        assert running.finish(60) == 128 + signal.SIGINT
        running.assert_nothing_left()
        assert "Traceback" not in running.output
    assert not any(folder.exists() for folder in used)


def test_services_and_kafka_end_with_a_killed_stack() -> None:
    with command(STACK, without=("EDDY_KAFKA_BOOTSTRAP_SERVERS",)) as running:
        processes_started(running)
        running.send(signal.SIGKILL)
        running.assert_nothing_left()


def test_stack_ends_with_a_killed_kafka() -> None:
    with command(STACK, without=("EDDY_KAFKA_BOOTSTRAP_SERVERS",)) as running:
        processes_started(running)
        (java,) = [member for member in running.family if "java" in member.name()]
        java.kill()
        assert running.finish(60) == 1
        running.assert_nothing_left()
        assert "kafka: Kafka ended with code -9" in running.output


async def test_command_ends_the_stack_with_its_code_and_its_topics_are_deleted(kafka: str) -> None:
    tell = "import os; print('prefix', os.environ['EDDY_TOPIC_PREFIX'], os.environ['EDDY_REPLAY_READY_URLS']); raise SystemExit(7)"
    with command([*EXEC, "python", "-c", tell], {"EDDY_KAFKA_BOOTSTRAP_SERVERS": kafka}) as running:
        assert running.finish(60) == 7
        match = re.search(r"\| prefix (\S+) (\S+)", running.output)
    assert match
    assert {entry.partition("=")[0] for entry in match[2].split(",")} == set(SERVICES)
    assert not await Bus(Settings(kafka_bootstrap_servers=kafka, topic_prefix=match[1])).existing_topics()


def test_failed_service_ends_the_stack_with_its_error(kafka: str, topic_prefix: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        environment = {
            "EDDY_KAFKA_BOOTSTRAP_SERVERS": kafka,
            "EDDY_TOPIC_PREFIX": topic_prefix,
            "EDDY_GATEWAY_HTTP_PORT": port,
        }
        with command(STACK, environment) as running:
            processes_started(running)
            assert running.finish(60) == 1
            running.assert_nothing_left()
            assert f"gateway: cannot listen on 127.0.0.1:{port}" in running.output


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"EDDY_SCORER_HTP_PORT": "1"}, "eddy run: unknown setting EDDY_SCORER_HTP_PORT"),
        ({"EDDY_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, "eddy run: no Kafka at 127.0.0.1:1"),
    ],
)
def test_missing_permission_or_data_is_one_line_before_the_start(environment: dict[str, str], message: str) -> None:
    with command(STACK, environment) as running:
        assert running.finish() == 1
        (line,) = running.output.splitlines()
        assert line.startswith(message)
