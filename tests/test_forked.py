"""A forked service does what `python -m eddy_<service>` does."""

import signal
from pathlib import Path

import pytest

from tests.forked import SERVICES
from tests.service import running

pytestmark = pytest.mark.stack


@pytest.mark.parametrize("service", SERVICES)
def test_service_without_kafka_ends_in_one_line_forked_or_not(service: str, tmp_path: Path) -> None:
    environment = {"EDDY_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "EDDY_STATE_DIR": str(tmp_path)}
    logs = []
    for new in (False, True):
        log = tmp_path / "log"
        with running(service, environment, log, warnings_are_errors=True, new=new) as started:
            assert started.process.wait(timeout=60) == 1, log.read_text()
        (line,) = [line for line in log.read_text().splitlines() if line.startswith(f"{service}: ")]
        assert "no Kafka at 127.0.0.1:1" in line
        assert "Traceback" not in log.read_text()
        logs.append(line)
    assert logs[0] == logs[1]


def test_signals_reach_a_forked_service(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    environment = {"EDDY_KAFKA_BOOTSTRAP_SERVERS": kafka, "EDDY_TOPIC_PREFIX": topic_prefix}
    with running("gateway", environment, tmp_path / "log") as stopped:
        pass
    assert stopped.process.returncode == -signal.SIGKILL
