"""The log of a service: structured lines, also for messages of libraries."""

import subprocess
import sys
from pathlib import Path

import aiokafka
import mode
import pytest

from eddy.logs import ROUTINE
from eddy.paths import REPO_ROOT
from eddy_cli.broker import running_broker
from tests.service import running_together

pytestmark = pytest.mark.stack

SPEAK = """
import logging
from eddy.logs import configure_logging
configure_logging({level!r}, "trial")
kafka = logging.getLogger("aiokafka.consumer.group_coordinator")
kafka.error("Group Coordinator Request failed: %s", "not yet")
kafka.error("Unable connect to node with id %s: %s", 1, "refused")
kafka.info("Joined group")
"""


def lines(level: str) -> list[str]:
    completed = subprocess.run(
        [sys.executable, "-c", SPEAK.format(level=level)], cwd=REPO_ROOT, capture_output=True, text=True, check=True
    )
    assert completed.stdout == ""
    return completed.stderr.splitlines()


def test_routine_messages_of_a_library_have_level_debug() -> None:
    (entry,) = lines("info")
    assert "level=error event=library" in entry
    assert 'message="Unable connect to node with id 1: refused"' in entry
    routine, other = lines("debug")
    assert "level=debug" in routine
    assert "Group Coordinator Request failed: not yet" in routine
    assert "level=error" in other


def test_every_routine_line_is_one_that_a_kafka_client_writes() -> None:
    """One that a later version words differently would be shown again."""
    folders = [Path(library.__file__).parent for library in (aiokafka, mode)]
    source = "".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
    assert [template for template in ROUTINE if template not in source] == []


@pytest.mark.timeout(300)
def test_services_on_a_new_broker_log_no_routine_messages(tmp_path: Path) -> None:
    """The first group of a broker makes its coordinator, and clients complain until it is there."""
    with running_broker() as broker:
        environment = {"EDDY_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers, "EDDY_LOG_LEVEL": "debug"}
        with running_together(("features", "scorer"), environment, tmp_path) as services:
            stopped = [service.stop() for service in services.values()]
    log_lines = "".join(path.read_text() for path in tmp_path.glob("*.log")).splitlines()
    assert stopped == [0, 0]
    assert "Group Coordinator Request failed" in "".join(line for line in log_lines if "level=debug" in line)
    assert [line for line in log_lines if "event=library" in line and "level=debug" not in line] == []
    assert [line for line in log_lines if not line.startswith("timestamp=")] == []
