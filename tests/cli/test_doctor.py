"""`eddy doctor` and `eddy topics` on a real broker: new, correct, and with a wrong policy."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from eddy.contract.topics import USER_EVENTS, topics
from eddy.kafka.connection import Connection
from eddy.kafka.inspection import probe_clock
from eddy.settings import Settings
from eddy_cli.doctor import kafka as doctor_kafka
from eddy_cli.doctor.finding import Verdict
from tests.cli.processes import Command, command

pytestmark = pytest.mark.broker


@pytest.fixture
def environment(kafka: str, topic_prefix: str) -> dict[str, str]:
    return {"EDDY_KAFKA_BOOTSTRAP_SERVERS": kafka, "EDDY_TOPIC_PREFIX": topic_prefix}


@contextmanager
def eddy(environment: dict[str, str], *arguments: str) -> Iterator[Command]:
    with command(["-m", "eddy_cli", *arguments], environment) as running:
        yield running


def line(output: str, name: str) -> str:
    (matching_line,) = [one for one in output.splitlines() if one.split()[1:2] == [name]]
    return matching_line


def test_a_fresh_kafka_lacks_topics_until_they_are_created(environment: dict[str, str]) -> None:
    with eddy(environment, "doctor") as doctor:
        assert doctor.finish(60) == 1
        assert line(doctor.output, "topics").startswith(f"wrong  topics     {len(topics())} missing")
        assert "`eddy topics create`" in line(doctor.output, "topics")
        assert line(doctor.output, "kafka").startswith("ok")
    with eddy(environment, "topics", "create") as create:
        assert create.finish(60) == 0
    with eddy(environment, "topics", "check") as check:
        assert check.finish(60) == 0, check.output
        assert f"all {len(topics())} topics" in check.output
    with eddy(environment, "doctor") as doctor:
        assert doctor.finish(60) == 0, doctor.output
        assert line(doctor.output, "topics").startswith("ok")
        assert line(doctor.output, "clock").startswith("ok     clock      within ")
        assert "Traceback" not in doctor.output


async def created_wrong(servers: str, prefix: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        config = {"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime", "retention.ms": "-1"}
        wrong = NewTopic(prefix + USER_EVENTS, 4, 1, topic_configs={**config, "max.message.bytes": str(10**7)})
        await admin.create_topics([wrong])
    finally:
        await admin.close()


def test_a_topic_with_a_wrong_policy_is_named_with_its_remedy(
    kafka: str, topic_prefix: str, environment: dict[str, str]
) -> None:
    asyncio.run(created_wrong(kafka, topic_prefix))
    with eddy(environment, "topics", "create") as create:
        assert create.finish(60) == 1
    name = topic_prefix + USER_EVENTS
    assert f"topic {name}: cleanup.policy is compact instead of delete. Correct it: kafka-configs.sh" in create.output
    with eddy(environment, "topics", "check") as check:
        assert check.finish(60) == 1
        assert check.output.splitlines() == [
            f"{name}: cleanup.policy is compact instead of delete. kafka-configs.sh --bootstrap-server {kafka} "
            f"--alter --topic {name} --add-config cleanup.policy=delete"
        ]
    with eddy(environment, "doctor") as doctor:
        assert doctor.finish(60) == 1
        assert line(doctor.output, "topics") == (
            f"wrong  topics     different from schemas/topics.yaml: {name}. `eddy topics check` prints the remedy for each"
        )


async def test_the_clock_of_a_broker_on_this_machine_is_the_same(kafka: str, topic_prefix: str) -> None:
    probe = await probe_clock(Connection(Settings(kafka_bootstrap_servers=kafka)), topic_prefix, 1)
    assert abs(probe.skew_ms) < 5
    assert probe.round_trip_ms > 0


def test_clock_ahead_of_the_broker_is_wrong(kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eddy.kafka.inspection.time", SimpleNamespace(time=lambda: time.time() + 5))
    settings = Settings(kafka_bootstrap_servers=kafka, topic_prefix=topic_prefix)
    finding = list(doctor_kafka.examine(settings))[-1]
    assert finding.verdict is Verdict.WRONG
    assert finding.observation == "5.0 s ahead of the broker's"


def test_doctor_reports_a_missing_kafka(tmp_path: Path) -> None:
    with eddy({"EDDY_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, "doctor") as doctor:
        assert doctor.finish(60) == 1
        assert line(doctor.output, "kafka").startswith("wrong  kafka      no answer from 127.0.0.1:1. no Kafka at")
    with eddy({"EDDY_SCORER_HTP_PORT": "1"}, "doctor") as doctor:
        assert doctor.finish(60) == 1
        assert line(doctor.output, "settings").startswith("wrong  settings   unknown setting EDDY_SCORER_HTP_PORT")
