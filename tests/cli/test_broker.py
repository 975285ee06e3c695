"""The broker as a local process: start, answers, and no remains after any kind of end."""

import asyncio
import re
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from eddy.contract.topics import ITEMS
from eddy.errors import FatalError
from eddy.kafka.bus import Bus
from eddy.settings import Settings
from eddy_cli.broker import Broker, running_broker
from eddy_cli.broker.class_cache import class_cache, keep_class_cache
from eddy_cli.broker.config import Ports, server_properties
from eddy_cli.broker.failure import PortTakenError, failure_of
from eddy_cli.broker.jars import check_jars, kafka_jars, locked_jars
from eddy_cli.ports import free_port
from eddy_cli.scratch import scratch_folder
from tests.cli.processes import Command, command

pytestmark = pytest.mark.broker


def scratch_of(broker: Command) -> Path:
    match = re.search(r"its log: (\S+)/kafka\.log", broker.output)
    assert match
    return Path(match[1])


def test_broker_ends_with_a_killed_parent_and_the_next_start_deletes_its_folder() -> None:
    with command(["-m", "eddy_cli", "broker"]) as broker:
        broker.read_until("Stop it with")
        scratch = scratch_of(broker)
        broker.send(signal.SIGKILL)
        broker.assert_nothing_left()
    assert scratch.exists()
    with scratch_folder("after", scratch.parent):
        assert not scratch.exists()


def test_killed_broker_ends_its_command_with_one_line() -> None:
    with command(["-m", "eddy_cli", "broker"]) as broker:
        broker.read_until("Stop it with")
        (java,) = [member for member in broker.family if "java" in member.name()]
        java.kill()
        assert broker.finish() == 1
        assert broker.output.splitlines()[-1].startswith("eddy broker: Kafka ended with code -9")
        broker.assert_nothing_left()


def test_stopped_broker_is_no_failure_and_leaves_a_class_cache() -> None:
    with ThreadPoolExecutor(1) as watcher:
        with running_broker() as broker:
            watched = watcher.submit(broker.wait)
        assert watched.result(timeout=20) is None
    assert class_cache(kafka_jars()) is not None


def test_failure_is_reported_without_logs(tmp_path: Path) -> None:
    with subprocess.Popen(["false"]) as process:
        failure = Broker("", tmp_path / "gone" / "kafka.log", process).wait()
    assert str(failure).startswith("Kafka ended with code 1 (no reason given)")


def test_port_in_use_is_an_error() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(FatalError, match=r"port \d+ is taken"),
        running_broker(other.getsockname()[1]),
    ):
        pass


async def use(servers: str, prefix: str, write: bool) -> int:
    bus = Bus(Settings(kafka_bootstrap_servers=servers, topic_prefix=prefix))
    await bus.create_topics()
    if write:
        async with bus.producer() as producer:
            await producer.send_all(ITEMS, [("a", b"1"), ("b", b"2")])
    async with bus.reader(bus.topic_partitions(ITEMS)) as reader:
        return sum((await reader.end_offsets()).values())


def test_broker_stops_gracefully_and_keeps_the_data_of_a_named_folder(tmp_path: Path, topic_prefix: str) -> None:
    port, kept = free_port(), tmp_path / "kept"
    for number, write in ((signal.SIGINT, True), (signal.SIGTERM, False)):
        with command(["-m", "eddy_cli", "broker", "--port", str(port), "--data", str(kept)]) as broker:
            broker.read_until("Stop it with")
            scratch = scratch_of(broker)
            assert (scratch / "kafka.log").stat().st_size > 0
            assert len(broker.family) >= 2
            assert asyncio.run(use(f"127.0.0.1:{port}", topic_prefix, write)) == 2
            broker.send(number)
            assert broker.finish() == 128 + number
            broker.assert_nothing_left()
            assert not scratch.exists()
            assert "Traceback" not in broker.output


def test_jars_with_other_checksums_are_refused(tmp_path: Path) -> None:
    (tmp_path / "kafka.jar").write_bytes(b"broken")
    with pytest.raises(FatalError, match=r"kafka\.jar does not have the checksum"):
        check_jars(tmp_path, {"kafka.jar": "0" * 64})


def test_jars_in_the_cache_are_the_locked_ones() -> None:
    check_jars(kafka_jars(), locked_jars())


def test_damaged_class_cache_is_deleted(tmp_path: Path) -> None:
    draft = tmp_path / "scratch" / "classes.aot"
    keep_class_cache(draft, tmp_path)
    assert class_cache(tmp_path) is None
    draft.parent.mkdir()
    draft.write_bytes(b"classes")
    keep_class_cache(draft, tmp_path)
    kept = class_cache(tmp_path)
    assert kept is not None
    assert kept.read_bytes() == b"classes"
    kept.write_bytes(b"damaged")
    assert class_cache(tmp_path) is None
    assert list(tmp_path.glob("*.*")) == []


def test_jars_without_a_network_end_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eddy_cli.broker.jars.DOWNLOADS", tmp_path)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with pytest.raises(FatalError, match="check the network") as failure:
        kafka_jars()
    assert len(str(failure.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("logs", "expected"),
    [
        ("ERROR Error while writing: java.io.IOException: No space left on device", "free some space"),
        ("java.lang.OutOfMemoryError: Java heap space", "ran out of memory"),
        ("INFO x\nERROR [KafkaRaftServer] it broke (kafka)\nINFO y", r"code 1 \(\[KafkaRaftServer\] it broke"),
        ("", "no reason given"),
    ],
)
def test_failure_of_a_broker_is_one_line_that_says_what_to_do(logs: str, expected: str) -> None:
    failure = failure_of(1, logs, Path("kafka.log"))
    assert re.search(expected, str(failure))
    assert "\n" not in str(failure)


def test_port_in_use_has_its_own_error() -> None:
    logs = "org.apache.kafka.common.KafkaException: Socket server failed to bind: Address already in use."
    assert isinstance(failure_of(1, logs, Path("kafka.log")), PortTakenError)


def test_properties_set_append_time_and_ports() -> None:
    text = server_properties(Ports(1234, 1235), Path("/data"))
    assert "log.message.timestamp.type=LogAppendTime" in text
    assert "advertised.listeners=PLAINTEXT://127.0.0.1:1234,CONTROLLER://127.0.0.1:1235" in text


def test_scratch_folder_of_a_running_process_is_kept(tmp_path: Path) -> None:
    with scratch_folder("one", tmp_path) as first, scratch_folder("two", tmp_path) as second:
        assert first.is_dir() and second.is_dir()
    assert not list(tmp_path.glob("*/"))


def test_unwritable_scratch_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FatalError, match="cannot write to"), scratch_folder("one", tmp_path / "file"):
        pass
