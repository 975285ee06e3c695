"""Throughput of two workers of a service compared with one, on the same backlog. Each worker is a process; all use one Kafka.

The backlog is written in one transaction while the workers wait, so that all of it appears at once and writing it does not slow them.
Two workers, Kafka and this process need more than two cores for the full speed-up, so rates per second of the workers' CPU time are given
as well.
"""

import asyncio
import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
import torch

from eddy.clock import SystemClock
from eddy.contract.codec import Codec
from eddy.contract.model import DIM, Columns
from eddy.contract.records import RecommendationRequest
from eddy.contract.topics import (
    ITEM_FEATURES,
    ITEM_SIGNALS,
    ITEMS,
    RECOMMENDATION_REQUESTS,
    RECOMMENDATIONS,
    USER_EVENTS,
    USER_FEATURES,
)
from eddy.errors import FatalError
from eddy.kafka.bus import Bus, Producer
from eddy.keys import PUBLIC_KEYS, SIGNING_KEY, ensure_keys, read_release_keys, read_signing_key
from eddy.ready import is_ready
from eddy.settings import Settings, load
from eddy_cli.broker import available_kafka
from eddy_cli.parent_death import bound_to_parent
from eddy_cli.ports import HOST, free_port
from eddy_lab.bench import features, joiner, scorer
from eddy_trainer.core.graphs import GraphExporter
from eddy_trainer.core.learner import Weights
from eddy_trainer.core.models import DEFAULT_MODEL, MODELS
from eddy_trainer.shell.releases import ReleasePublisher

EVENTS = 60_000
REQUESTS = 6_000
CATALOGUE = 20_000
WORKERS = (1, 2)
TIMEOUT_SEC = 300
SETTLE_SEC = 4.0  # for the group to divide the partitions, after the last worker is ready


@dataclass(frozen=True)
class _Workload:
    """The work of a service: `prepare` publishes what must exist before the start; `publish` the backlog in `topic` that is measured."""

    service: str
    prepare: Callable[[Bus, Producer], Awaitable[None]]
    publish: Callable[[Producer], Awaitable[int]]
    topic: str


@dataclass(frozen=True)
class _Run:
    records: int
    seconds: float
    cpu_seconds: float


def run() -> dict[str, float]:
    """Records per second of one worker and of two, by service."""
    torch.set_num_threads(1)
    figures: dict[str, float] = {}
    with available_kafka() as servers:
        for workload in (
            _Workload("features", _nothing, _events, USER_EVENTS),
            _Workload("scorer", _catalogue, _requests, RECOMMENDATION_REQUESTS),
            _Workload("joiner", _nothing, _slates_and_events, USER_EVENTS),
        ):
            runs = {workers: asyncio.run(_measure(workload, servers, workers)) for workers in WORKERS}
            for workers, run in runs.items():
                figures[f"{workload.service}, {workers} worker(s), records/s"] = run.records / run.seconds
                figures[f"{workload.service}, {workers} worker(s), records per CPU second"] = (
                    run.records / run.cpu_seconds
                )
            figures[f"{workload.service}, speed-up of 2 workers"] = runs[1].seconds / runs[2].seconds
    return figures


async def _measure(workload: _Workload, servers: str, workers: int) -> _Run:
    environment = {"EDDY_KAFKA_BOOTSTRAP_SERVERS": servers, "EDDY_TOPIC_PREFIX": f"bench-{uuid.uuid4().hex[:8]}."}
    ensure_keys(SIGNING_KEY, PUBLIC_KEYS)
    bus = Bus(load(Settings, environment))
    await bus.create_topics()
    try:
        async with bus.producer(linger_ms=5) as producer:
            await workload.prepare(bus, producer)
        async with _running(workload.service, workers, environment) as processes:
            cpu_before = _cpu_seconds(processes)
            async with bus.transactional_producer(f"{workload.service}-bench", linger_ms=5) as producer:
                await producer.begin()
                records = await workload.publish(producer)
                await producer.flush()
                await producer.commit()
            started = time.perf_counter()
            await _wait_committed(bus, workload.service, workload.topic, records)
            if workload.service == "features":
                await _wait_committed(bus, workload.service, ITEM_SIGNALS, await _signals(bus))
            return _Run(records, time.perf_counter() - started, _cpu_seconds(processes) - cpu_before)
    finally:
        await bus.delete_topics()


@asynccontextmanager
async def _running(
    service: str, workers: int, environment: dict[str, str]
) -> AsyncIterator[list["subprocess.Popen[bytes]"]]:
    """Start workers of a service; enter when they are ready and have divided the partitions."""
    with TemporaryDirectory() as folder:
        processes, ports = [], []
        for number in range(workers):
            ports.append(free_port())
            overrides = {
                "EDDY_STATE_DIR": f"{folder}/{number}",
                "EDDY_LOG_LEVEL": "warning",
                f"EDDY_{service.upper()}_HTTP_PORT": str(ports[-1]),
            }
            processes.append(
                _start(service, {**os.environ, **environment, **overrides}, Path(f"{folder}/{number}.log"))
            )
        try:
            async with asyncio.timeout(TIMEOUT_SEC):
                while not all(is_ready(f"http://{HOST}:{port}") for port in ports):
                    if any(process.poll() is not None for process in processes):
                        raise FatalError(f"a worker of {service} exited before it was ready")
                    await asyncio.sleep(0.2)
            await asyncio.sleep(SETTLE_SEC)
            yield processes
        finally:
            for process in processes:
                process.kill()
                process.wait()


def _start(service: str, environment: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as output:
        command = bound_to_parent([sys.executable, "-m", f"eddy_{service}"])
        return subprocess.Popen(command, env=environment, stdout=output, stderr=output)


def _cpu_seconds(processes: Sequence["subprocess.Popen[bytes]"]) -> float:
    return sum(sum(psutil.Process(process.pid).cpu_times()[:2]) for process in processes)


async def _wait_committed(bus: Bus, group: str, topic: str, records: int) -> None:
    """Wait until the group has committed this many records of a topic."""
    async with asyncio.timeout(TIMEOUT_SEC):
        while sum((await bus.committed(group, topic)).values()) < records:  # noqa: ASYNC110  # only Kafka knows
            await asyncio.sleep(0.1)


async def _signals(bus: Bus) -> int:
    """Number of item signals. It is final once all events have been committed."""
    async with bus.reader(bus.topic_partitions(ITEM_SIGNALS)) as reader:
        return sum((await reader.end_offsets()).values())


async def _nothing(bus: Bus, producer: Producer) -> None:
    """Nothing to prepare."""


async def _events(producer: Producer) -> int:
    await producer.send_all(USER_EVENTS, features._events(EVENTS))
    return EVENTS


async def _catalogue(bus: Bus, producer: Producer) -> None:
    await publish_catalogue(bus, producer, CATALOGUE)


async def publish_catalogue(bus: Bus, producer: Producer, size: int) -> None:
    """Publish items, their features, users, and a release with random weights."""
    rng = np.random.default_rng(1)
    names = [f"item-{number}" for number in range(size)]
    items, item_features = Codec.for_topic(ITEMS), Codec.for_topic(ITEM_FEATURES)
    users = Codec.for_topic(USER_FEATURES)
    await producer.send_all(
        ITEMS,
        [(name, items.encode(scorer._item(name, number))) for number, name in enumerate(names)],
    )
    neighbours = rng.integers(0, size, (size, scorer.NEIGHBOURS[size]))
    await producer.send_all(
        ITEM_FEATURES,
        [
            (
                name,
                item_features.encode(scorer._item_features(name, 30.0, [names[other] for other in neighbours[number]])),
            )
            for number, name in enumerate(names)
        ],
    )
    for number in range(scorer.USERS):
        history = [names[item] for item in rng.integers(0, size, scorer.HISTORY + scorer.SEEN)]
        await producer.send(USER_FEATURES, f"u{number}", users.encode(scorer._user(number, history)))
    vectors = rng.standard_normal((size + 1, DIM)).astype(np.float32)
    model, columns = MODELS[DEFAULT_MODEL], Columns()
    weights = Weights(
        DEFAULT_MODEL,
        columns,
        model.encoder(columns).state_dict(),
        model.ranker(columns).state_dict(),
        ["", *names],
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
    )
    keys = read_release_keys(PUBLIC_KEYS)
    async with ReleasePublisher(bus, SystemClock(), read_signing_key(SIGNING_KEY), keys) as publisher:
        await publisher.publish(
            weights, GraphExporter.trace(DEFAULT_MODEL, columns).export(weights), [0] * bus.partitions, {}
        )


async def _requests(producer: Producer) -> int:
    codec = Codec.for_topic(RECOMMENDATION_REQUESTS)
    rng = random.Random(1)
    requests = []
    for number in range(REQUESTS):
        user = f"u{rng.randrange(scorer.USERS)}"
        record: RecommendationRequest = {
            "request_id": f"r{number}",
            "user_id": user,
            "scenario": "video",
            "limit": scorer.LIMIT,
            "query": None,
            "candidates": None,
            "exclude": [],
            "after_offset": None,
            "deadline_at": None,
            "requested_at": scorer.NOW + 1000,
        }
        requests.append((user, codec.encode(record)))
    await producer.send_all(RECOMMENDATION_REQUESTS, requests)
    return REQUESTS


async def _slates_and_events(producer: Producer) -> int:
    rng = random.Random(1)
    slate_codec, event_codec = Codec.for_topic(RECOMMENDATIONS), Codec.for_topic(USER_EVENTS)
    slates = [joiner.random_slate(number, rng) for number in range(joiner.SLATES)]
    events = [event for slate in slates for event in joiner.random_events(slate, rng)]
    await producer.send_all(RECOMMENDATIONS, [(slate["user_id"], slate_codec.encode(slate)) for slate in slates])
    await producer.send_all(USER_EVENTS, [(event["user_id"], event_codec.encode(event)) for event in events])
    return len(events)
