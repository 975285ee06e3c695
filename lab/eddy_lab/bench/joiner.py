"""The joiner on one partition: events per second, compared with a bare consume-and-decode loop; latency; duration of a restart.

Rates are given per second of wall clock and per second of this process's CPU time: the broker and other processes share the machine.
"""

import asyncio
import random
import statistics
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import uvloop

from eddy.contract.codec import Codec
from eddy.contract.model import ACTIONS, FEATURES
from eddy.contract.records import Recommendations, UserEvent
from eddy.contract.topics import RECOMMENDATIONS, TRAINING_EXAMPLES, USER_EVENTS
from eddy.kafka.bus import Bus
from eddy.logs import configure_logging
from eddy.runtime import Health
from eddy.settings import load
from eddy_cli.broker import available_kafka
from eddy_joiner.app import main
from eddy_joiner.settings import JoinerSettings

SLATES = 8_000
CLICKS = 60
USERS = 500
ITEMS = 3_000
SLATE_ITEMS = 10
CANDIDATES = 60
HISTORY = 50
START_MS = 1_700_000_000_000
STEP_MS = 400
TIMEOUT_SEC = 300


def run() -> dict[str, float]:
    configure_logging("error", "bench")
    with available_kafka() as servers:
        return uvloop.run(_measure(servers))


async def _measure(servers: str) -> dict[str, float]:
    settings = load(
        JoinerSettings,
        {
            "EDDY_KAFKA_BOOTSTRAP_SERVERS": servers,
            "EDDY_TOPIC_PREFIX": f"bench-{uuid.uuid4().hex[:8]}.",
            "EDDY_TOPIC_PARTITIONS": "1",
            "EDDY_JOINER_HTTP_PORT": "0",
        },
    )
    bus = Bus(settings)
    await bus.create_topics()
    try:
        events = await _fill(bus)
        bare = await _decode_loop(bus)
        joined, restart = await _join(bus, settings, events)
        clicks = await _click_latencies(bus, settings)
    finally:
        await bus.delete_topics()
    return {
        "events_per_s": events / joined.wall,
        "events_per_cpu_s": events / joined.cpu,
        "bare_decode_loop_events_per_s": events / bare.wall,
        "bare_decode_loop_events_per_cpu_s": events / bare.cpu,
        "restart_s": restart.wall,
        "click_to_label_p50_ms": statistics.median(clicks) * 1000,
        "click_to_label_p95_ms": statistics.quantiles(clicks, n=20)[-1] * 1000,
    }


@dataclass(frozen=True)
class Duration:
    """Seconds of wall clock and of CPU time."""

    wall: float
    cpu: float

    @staticmethod
    def since(wall: float, cpu: float) -> "Duration":
        return Duration(time.perf_counter() - wall, time.process_time() - cpu)


async def _fill(bus: Bus) -> int:
    """Publish slates and the events of their users; returns the number of events."""
    rng = random.Random(1)
    slate_codec, event_codec = Codec.of(Recommendations), Codec.of(UserEvent)
    count = 0
    async with bus.producer(linger_ms=5) as producer:
        for first in range(0, SLATES, 500):
            slates = [random_slate(number, rng) for number in range(first, first + 500)]
            await producer.send_all(
                RECOMMENDATIONS, [(slate["user_id"], slate_codec.encode(slate)) for slate in slates]
            )
            events = [event for slate in slates for event in random_events(slate, rng)]
            await producer.send_all(USER_EVENTS, [(event["user_id"], event_codec.encode(event)) for event in events])
            count += len(events)
    return count


async def _decode_loop(bus: Bus) -> Duration:
    """The minimum for any Python consumer of both topics: fetch and decode every record."""
    codecs: dict[str, Codec[Any]] = {topic: Codec.for_topic(topic) for topic in (RECOMMENDATIONS, USER_EVENTS)}
    partitions = [partition for topic in codecs for partition in bus.topic_partitions(topic)]
    async with bus.reader(partitions) as reader:
        ends = await reader.end_offsets()
        started = time.perf_counter(), time.process_time()
        while not await reader.at_end(ends):
            for message in await reader.batch():
                codecs[message.topic].decode(message.value)
        return Duration.since(*started)


async def _join(bus: Bus, settings: JoinerSettings, events: int) -> tuple[Duration, Duration]:
    """The time from start to the commit of the last event, and the time of a restart up to readiness."""
    started = time.perf_counter(), time.process_time()
    async with _joiner(settings):
        await _committed(bus, events)
        joined = Duration.since(*started)
    started = time.perf_counter(), time.process_time()
    async with _joiner(settings):
        return joined, Duration.since(*started)


async def _click_latencies(bus: Bus, settings: JoinerSettings) -> list[float]:
    """Seconds from sending a click to reading its label, without other load."""
    slate_codec, event_codec = Codec.of(Recommendations), Codec.of(UserEvent)
    rng = random.Random(2)
    latencies = []
    async with (
        _joiner(settings),
        bus.producer() as producer,
        bus.reader(bus.topic_partitions(TRAINING_EXAMPLES)) as reader,
    ):
        await reader.seek_to_end()
        for number in range(SLATES, SLATES + CLICKS):
            slate = random_slate(number, rng)
            impression = _event(f"i{number}", slate, "impression", None)
            await producer.send_all(RECOMMENDATIONS, [(slate["user_id"], slate_codec.encode(slate))])
            await producer.send_all(USER_EVENTS, [(slate["user_id"], event_codec.encode(impression))])
            await asyncio.sleep(0.1)
            while await reader.batch(timeout_ms=50):
                pass
            click = event_codec.encode(_event(f"c{number}", slate, "click", slate["items"][0]["item_id"]))
            started = time.perf_counter()
            await producer.send_all(USER_EVENTS, [(slate["user_id"], click)])
            while not await reader.batch(timeout_ms=1000):
                pass
            latencies.append(time.perf_counter() - started)
    return latencies


@asynccontextmanager
async def _joiner(settings: JoinerSettings) -> AsyncIterator[None]:
    """Run a joiner in this process; enter when it is ready."""
    health = Health()
    task = asyncio.create_task(main(settings, health))
    try:
        while not health.ready:
            await asyncio.sleep(0.02)
            if task.done():
                await task
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _committed(bus: Bus, offset: int) -> None:
    async with asyncio.timeout(TIMEOUT_SEC):
        while True:
            if sum((await bus.committed("joiner", USER_EVENTS)).values()) >= offset:
                return
            await asyncio.sleep(0.1)


def random_slate(number: int, rng: random.Random) -> Recommendations:
    candidates = [f"i{item}" for item in rng.sample(range(ITEMS), CANDIDATES)]
    at = START_MS + number * STEP_MS
    return {
        "request_id": f"request-{number:08d}",
        "user_id": f"user-{rng.randrange(USERS)}",
        "scenario": "video",
        "requested_at": at,
        "served_at": at,
        "model_version": 7,
        "policy": "top_k_random_slot",
        "trigger": "request",
        "applied_offset": -1,
        "items": [
            {
                "item_id": item,
                "position": position,
                "score": 0.5,
                "predictions": [0.1] * len(ACTIONS),
                "propensity": 1.0,
                "source": "encoder",
                "reason": "",
            }
            for position, item in enumerate(candidates[:SLATE_ITEMS])
        ],
        "considered": candidates,
        "features": rng.randbytes(2 * CANDIDATES * len(FEATURES)),
        "feature_names": list(FEATURES),
        "prediction_names": list(ACTIONS),
        "contract": "0123456789abcdef",
        "refusal": None,
        "history": {
            "item_ids": [f"i{item}" for item in rng.sample(range(ITEMS), HISTORY)],
            "actions": ["rate"] * HISTORY,
            "scenarios": ["video"] * HISTORY,
            "values": [0.5] * HISTORY,
            "occurred_at": [at - 1000 * age for age in range(HISTORY, 0, -1)],
            "valued": [True] * HISTORY,
        },
    }


def random_events(slate: Recommendations, rng: random.Random) -> list[UserEvent]:
    """The impression, and on average 1.65 interactions: with the slate, with its items but no request id, or with other items."""
    request_id = slate["request_id"]
    events = [_event(f"{request_id}-impression", slate, "impression", None)]
    for number in range(rng.choice((0, 1, 1, 2, 2, 4))):
        in_slate = rng.choice(slate["items"])["item_id"]
        item_id, has_request = rng.choice(((in_slate, True), (in_slate, False), (f"i{rng.randrange(ITEMS)}", False)))
        event = _event(f"{request_id}-{number}", slate, rng.choice(("click", "rate", "play")), item_id)
        events.append(event if has_request else {**event, "request_id": None})
    return events


def _event(event_id: str, slate: Recommendations, action: str, item_id: str | None) -> UserEvent:
    return {
        "event_id": event_id,
        "user_id": slate["user_id"],
        "scenario": slate["scenario"],
        "action": action,
        "item_id": item_id,
        "value": None,
        "query": None,
        "request_id": slate["request_id"],
        "position": None,
        "occurred_at": slate["requested_at"] + 100,
        "attributes": {},
    }
