"""The joiner on one partition: events a second beside a bare loop that only consumes and decodes, latency, restart.

Seconds of this process's processor are given beside wall clock, since the broker and whoever else shares the machine.
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

LISTS = 8_000
CLICKS = 60
USERS = 500
ITEMS = 3_000
SHOWN = 10
CONSIDERED = 60
HISTORY = 50
T0 = 1_700_000_000_000
STEP_MS = 400
WITHIN_SEC = 300


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
class Spent:
    """Seconds by the clock and of the processor."""

    wall: float
    cpu: float

    @staticmethod
    def since(wall: float, cpu: float) -> "Spent":
        return Spent(time.perf_counter() - wall, time.process_time() - cpu)


async def _fill(bus: Bus) -> int:
    """Lists and what users did with them; how many events."""
    rng = random.Random(1)
    lists, events = Codec.of(Recommendations), Codec.of(UserEvent)
    count = 0
    async with bus.producer(linger_ms=5) as producer:
        for first in range(0, LISTS, 500):
            served = [_list(number, rng) for number in range(first, first + 500)]
            await producer.send_all(RECOMMENDATIONS, [(each["user_id"], lists.encode(each)) for each in served])
            acts = [act for each in served for act in _acts(each, rng)]
            await producer.send_all(USER_EVENTS, [(each["user_id"], events.encode(each)) for each in acts])
            count += len(acts)
    return count


async def _decode_loop(bus: Bus) -> Spent:
    """What any Python consumer of both topics pays: fetch and decode every record."""
    codecs: dict[str, Codec[Any]] = {topic: Codec.for_topic(topic) for topic in (RECOMMENDATIONS, USER_EVENTS)}
    partitions = [place for topic in codecs for place in bus.topic_partitions(topic)]
    async with bus.reader(partitions) as reader:
        ends = await reader.end_offsets()
        started = time.perf_counter(), time.process_time()
        while not await reader.at_end(ends):
            for message in await reader.batch():
                codecs[message.topic].decode(message.value)
        return Spent.since(*started)


async def _join(bus: Bus, settings: JoinerSettings, events: int) -> tuple[Spent, Spent]:
    """From the first event to the commit of the last; then a restart up to readiness."""
    started = time.perf_counter(), time.process_time()
    async with _joiner(settings):
        await _committed(bus, events)
        joined = Spent.since(*started)
    started = time.perf_counter(), time.process_time()
    async with _joiner(settings):
        return joined, Spent.since(*started)


async def _click_latencies(bus: Bus, settings: JoinerSettings) -> list[float]:
    """Seconds from sending a click to reading its label, with nothing else going on."""
    lists, events = Codec.of(Recommendations), Codec.of(UserEvent)
    rng = random.Random(2)
    waited = []
    async with (
        _joiner(settings),
        bus.producer() as producer,
        bus.reader(bus.topic_partitions(TRAINING_EXAMPLES)) as reader,
    ):
        await reader.seek_to_end()
        for number in range(LISTS, LISTS + CLICKS):
            served = _list(number, rng)
            impression = _event(f"i{number}", served, "impression", None)
            await producer.send_all(RECOMMENDATIONS, [(served["user_id"], lists.encode(served))])
            await producer.send_all(USER_EVENTS, [(served["user_id"], events.encode(impression))])
            await asyncio.sleep(0.1)
            while await reader.batch(timeout_ms=50):
                pass
            click = events.encode(_event(f"c{number}", served, "click", served["items"][0]["item_id"]))
            began = time.perf_counter()
            await producer.send_all(USER_EVENTS, [(served["user_id"], click)])
            while not await reader.batch(timeout_ms=1000):
                pass
            waited.append(time.perf_counter() - began)
    return waited


@asynccontextmanager
async def _joiner(settings: JoinerSettings) -> AsyncIterator[None]:
    """A joiner in this process, ready."""
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
    async with asyncio.timeout(WITHIN_SEC):
        while True:
            if sum((await bus.committed("joiner", USER_EVENTS)).values()) >= offset:
                return
            await asyncio.sleep(0.1)


def _list(number: int, rng: random.Random) -> Recommendations:
    considered = [f"i{item}" for item in rng.sample(range(ITEMS), CONSIDERED)]
    at = T0 + number * STEP_MS
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
                "position": place,
                "score": 0.5,
                "predictions": [0.1] * len(ACTIONS),
                "propensity": 1.0,
                "source": "encoder",
                "reason": "",
            }
            for place, item in enumerate(considered[:SHOWN])
        ],
        "considered": considered,
        "features": rng.randbytes(2 * CONSIDERED * len(FEATURES)),
        "feature_names": list(FEATURES),
        "prediction_names": list(ACTIONS),
        "contract": "0123456789abcdef",
        "refusal": None,
        "history": {
            "item_ids": [f"i{item}" for item in rng.sample(range(ITEMS), HISTORY)],
            "actions": ["rate"] * HISTORY,
            "scenarios": ["video"] * HISTORY,
            "values": [0.5] * HISTORY,
            "occurred_at": [at - 1000 * ago for ago in range(HISTORY, 0, -1)],
            "valued": [True] * HISTORY,
        },
    }


def _acts(served: Recommendations, rng: random.Random) -> list[UserEvent]:
    """The impression, and on average 1.65 actions: on the list, on it without saying so, or on something else."""
    name = served["request_id"]
    found = [_event(f"{name}-shown", served, "impression", None)]
    for number in range(rng.choice((0, 1, 1, 2, 2, 4))):
        listed = rng.choice(served["items"])["item_id"]
        item, request = rng.choice(((listed, True), (listed, False), (f"i{rng.randrange(ITEMS)}", False)))
        act = _event(f"{name}-{number}", served, rng.choice(("click", "rate", "play")), item)
        found.append(act if request else {**act, "request_id": None})
    return found


def _event(event_id: str, served: Recommendations, action: str, item_id: str | None) -> UserEvent:
    return {
        "event_id": event_id,
        "user_id": served["user_id"],
        "scenario": served["scenario"],
        "action": action,
        "item_id": item_id,
        "value": None,
        "query": None,
        "request_id": served["request_id"],
        "position": None,
        "occurred_at": served["requested_at"] + 100,
        "attributes": {},
    }
