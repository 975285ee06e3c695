"""The features service: events per second, compared with a bare consume-and-decode loop and a bare Faust agent.

All three read the same events from one Kafka, one after the other in one process; latency is measured on a separate process. The events are
sessions of many concurrent users over a catalogue with a skewed popularity. `features_cpu_*` divides by the processor time of the same run:
the rate of a worker with a core of its own.
"""

import asyncio
import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from tempfile import TemporaryDirectory
from typing import Any

import faust
import numpy as np
import uvloop

from eddy.contract.codec import Codec
from eddy.contract.records import UserEvent, UserFeatures
from eddy.contract.topics import ITEM_SIGNALS, USER_EVENTS, USER_FEATURES
from eddy.kafka.bus import Bus
from eddy.metrics import EVENTS, RECORDS
from eddy.runtime import Health
from eddy.settings import load
from eddy_cli.broker import BOOTSTRAP, available_kafka
from eddy_features.app import main
from eddy_features.settings import FeaturesSettings

TOTAL_EVENTS = 60_000
LATENCY_EVENTS = 1500
LATENCY_PER_SEC = 300
USERS = 5000
ITEMS = 3000
CONCURRENT_USERS = 100
START_MS = 1_600_000_000_000


def run() -> dict[str, float]:
    """Return figures by name; each name ends with its unit."""
    with available_kafka() as servers, TemporaryDirectory() as folder:
        environment = {
            BOOTSTRAP: servers,
            "EDDY_TOPIC_PREFIX": f"bench-{uuid.uuid4().hex[:8]}.",
            "EDDY_STATE_DIR": folder,
            "EDDY_FEATURES_HTTP_PORT": "0",
        }
        settings = load(FeaturesSettings, environment)
        throughput = uvloop.run(_measure(settings))
        worker = subprocess.Popen([sys.executable, "-m", "eddy_features"], env={**os.environ, **environment})
        try:
            return {**throughput, **asyncio.run(_latency(Bus(settings)))}
        finally:
            worker.terminate()
            worker.wait()


async def _measure(settings: FeaturesSettings) -> dict[str, float]:
    bus = Bus(settings)
    await bus.create_topics()
    events = list(_events(TOTAL_EVENTS))
    async with bus.producer() as producer:
        await producer.send_all(USER_EVENTS, events)
    loop = await _bare_loop(bus)
    agent = await _bare_agent(bus, settings)
    service = await _service(bus, settings)
    return {
        "bare_loop_events_per_second": TOTAL_EVENTS / loop,
        "bare_faust_agent_events_per_second": TOTAL_EVENTS / agent,
        **service,
    }


def _events(count: int, first: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield key and value of events: CONCURRENT_USERS at a time, about fifty events each, popular items more often."""
    rng = random.Random(first)
    codec = Codec.of(UserEvent)
    active = [rng.randrange(USERS) for _ in range(CONCURRENT_USERS)]
    for number in range(first, first + count):
        slot = rng.randrange(CONCURRENT_USERS)
        if rng.random() < 0.02:
            active[slot] = rng.randrange(USERS)
        user = f"u{active[slot]}"
        yield (
            user,
            codec.encode(
                {
                    "event_id": f"e{number}",
                    "user_id": user,
                    "scenario": "video",
                    "action": "rate",
                    "item_id": f"m{int(ITEMS * rng.random() ** 2)}",
                    "value": 4.0,
                    "query": None,
                    "request_id": None,
                    "position": None,
                    "occurred_at": START_MS + number * 1000,
                    "attributes": {},
                }
            ),
        )


async def _bare_loop(bus: Bus) -> float:
    """Return the seconds from the first batch to the last."""
    codec = Codec.of(UserEvent)
    partitions = bus.topic_partitions(USER_EVENTS)
    async with bus.reader(partitions) as reader:
        done, started = 0, time.perf_counter()
        while done < TOTAL_EVENTS:
            for message in await reader.batch(max_records=1000):
                codec.decode(message.value)
                done += 1
    return time.perf_counter() - started


async def _bare_agent(bus: Bus, settings: FeaturesSettings) -> float:
    """Return the seconds from the first event to the last in an agent that only decodes."""
    app = faust.App(
        bus.full_name("bare"),
        broker=";".join(f"kafka://{server}" for server in bus.servers.split(",")),
        datadir=str(settings.state_dir / "bare"),
        key_serializer="raw",
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        web_enabled=False,
    )
    codec = Codec.of(UserEvent)
    times: list[float] = []
    finished = asyncio.Event()

    @app.agent(app.topic(bus.full_name(USER_EVENTS)))  # type: ignore[untyped-decorator]  # Faust is untyped
    async def decode(stream: AsyncIterator[bytes]) -> None:
        done = 0
        async for value in stream:
            codec.decode(value)
            done += 1
            if done in (1, TOTAL_EVENTS):
                times.append(time.perf_counter())
            if done == TOTAL_EVENTS:
                finished.set()

    await app.start()
    await finished.wait()
    await app.stop()
    return times[1] - times[0]


async def _service(bus: Bus, settings: FeaturesSettings) -> dict[str, float]:
    """Run the service until all events and their signals are processed."""
    health = Health()
    running = asyncio.create_task(main(settings, health))
    try:
        await _until(lambda: _applied() > 0)
        before, started, cpu = _applied(), time.perf_counter(), time.process_time()
        await _until(lambda: _applied() >= TOTAL_EVENTS)
        ends = await _ends(bus, ITEM_SIGNALS)
        await _until(lambda: _handled(ITEM_SIGNALS) >= ends)
        wall_sec, cpu_sec = time.perf_counter() - started, time.process_time() - cpu
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return {
        "features_events_per_second": (TOTAL_EVENTS - before) / wall_sec,
        "features_cpu_events_per_second": (TOTAL_EVENTS - before) / cpu_sec,
    }


async def _latency(bus: Bus) -> dict[str, float]:
    """Measure the latency of a separate process at LATENCY_PER_SEC events a second, after a warm-up round."""
    await _latencies(bus, TOTAL_EVENTS)
    latencies = await _latencies(bus, TOTAL_EVENTS + LATENCY_EVENTS)
    return {
        "event_to_features_p50_ms": float(np.percentile(latencies, 50)),
        "event_to_features_p95_ms": float(np.percentile(latencies, 95)),
    }


def _applied() -> float:
    return float(
        sum(sample.value for metric in EVENTS.collect() for sample in metric.samples if sample.name.endswith("_total"))
    )


def _handled(topic: str) -> float:
    return float(RECORDS.labels("features", topic)._value.get())


async def _ends(bus: Bus, topic: str) -> int:
    partitions = bus.topic_partitions(topic)
    async with bus.reader(partitions) as reader:
        return sum((await reader.end_offsets(partitions)).values())


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # the condition reads a counter of the service
        await asyncio.sleep(0.01)


async def _latencies(bus: Bus, first: int) -> list[float]:
    """Return the milliseconds from publishing each event to reading its user's features, at LATENCY_PER_SEC."""
    sent: dict[str, float] = {}
    latencies: list[float] = []
    codec = Codec.of(UserFeatures)
    partitions = bus.topic_partitions(USER_FEATURES)
    async with bus.reader(partitions) as reader, bus.producer() as producer:
        await reader.seek_to_end()
        publishing = asyncio.create_task(_publish_slowly(producer, sent, first))
        while len(latencies) < LATENCY_EVENTS:
            messages = await reader.batch(timeout_ms=1000)
            now = time.perf_counter()
            for message in messages:
                user = codec.decode(message.value)["user_id"]
                if user in sent:
                    latencies.append((now - sent.pop(user)) * 1000)
        await publishing
    return latencies


async def _publish_slowly(producer: Any, sent: dict[str, float], first: int) -> None:
    started = time.perf_counter()
    codec = Codec.of(UserEvent)
    for number, (_, value) in enumerate(_events(LATENCY_EVENTS, first)):
        await asyncio.sleep(max(0.0, started + number / LATENCY_PER_SEC - time.perf_counter()))
        user = f"fresh-{first + number}"
        sent[user] = time.perf_counter()
        await producer.send(USER_EVENTS, user, codec.encode({**codec.decode(value), "user_id": user}))
