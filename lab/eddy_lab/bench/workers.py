"""Two workers of a service beside one: what a heap of work takes them, each worker a process, all on one Kafka.

The work is written in one transaction while the workers wait for it, so that all of it appears at once and the writer costs them nothing.
Two workers, Kafka and this process need more than two cores to show all that the second one gives: the processor time of the workers is
told beside the time that passed.
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
WITHIN_SEC = 300
SETTLED_SEC = 4.0  # after the last one is ready: the group has divided the partitions


@dataclass(frozen=True)
class _Work:
    """What a service has to do: `before` is there when the workers start, the `heap` of records in `topic` is counted."""

    service: str
    before: Callable[[Bus, Producer], Awaitable[None]]
    heap: Callable[[Producer], Awaitable[int]]
    topic: str


@dataclass(frozen=True)
class _Spent:
    count: int
    seconds: float
    cpu: float


def run() -> dict[str, float]:
    """Records per second of one worker and of two, by service."""
    torch.set_num_threads(1)
    figures: dict[str, float] = {}
    with available_kafka() as servers:
        for work in (
            _Work("features", _nothing, _events, USER_EVENTS),
            _Work("scorer", _catalogue, _requests, RECOMMENDATION_REQUESTS),
            _Work("joiner", _nothing, _lists_and_acts, USER_EVENTS),
        ):
            spent = {workers: asyncio.run(_measure(work, servers, workers)) for workers in WORKERS}
            for workers, each in spent.items():
                figures[f"{work.service}, {workers} worker(s), records/s"] = each.count / each.seconds
                figures[f"{work.service}, {workers} worker(s), records per CPU second"] = each.count / each.cpu
            figures[f"{work.service}, 2 beside 1"] = spent[1].seconds / spent[2].seconds
    return figures


async def _measure(work: _Work, servers: str, workers: int) -> _Spent:
    environment = {"EDDY_KAFKA_BOOTSTRAP_SERVERS": servers, "EDDY_TOPIC_PREFIX": f"bench-{uuid.uuid4().hex[:8]}."}
    bus = Bus(load(Settings, environment))
    await bus.create_topics()
    try:
        async with bus.producer(linger_ms=5) as producer:
            await work.before(bus, producer)
        async with _running(work.service, workers, environment) as processes:
            before = _cpu(processes)
            async with bus.transactional_producer(f"{work.service}-bench", linger_ms=5) as producer:
                await producer.begin()
                count = await work.heap(producer)
                await producer.flush()
                await producer.commit()
            started = time.perf_counter()
            await _read(bus, work.service, work.topic, count)
            if work.service == "features":
                await _read(bus, work.service, ITEM_SIGNALS, await _signals(bus))
            return _Spent(count, time.perf_counter() - started, _cpu(processes) - before)
    finally:
        await bus.delete_topics()


@asynccontextmanager
async def _running(
    service: str, workers: int, environment: dict[str, str]
) -> AsyncIterator[list["subprocess.Popen[bytes]"]]:
    """Workers of a service, ready, with the partitions divided among them."""
    with TemporaryDirectory() as folder:
        processes, ports = [], []
        for number in range(workers):
            ports.append(free_port())
            own = {
                "EDDY_STATE_DIR": f"{folder}/{number}",
                "EDDY_LOG_LEVEL": "warning",
                f"EDDY_{service.upper()}_HTTP_PORT": str(ports[-1]),
            }
            processes.append(_start(service, {**os.environ, **environment, **own}, Path(f"{folder}/{number}.log")))
        try:
            async with asyncio.timeout(WITHIN_SEC):
                while not all(is_ready(f"http://{HOST}:{port}") for port in ports):
                    if any(process.poll() is not None for process in processes):
                        raise FatalError(f"a worker of {service} ended before it was ready")
                    await asyncio.sleep(0.2)
            await asyncio.sleep(SETTLED_SEC)
            yield processes
        finally:
            for process in processes:
                process.kill()
                process.wait()


def _start(service: str, environment: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as output:
        command = bound_to_parent([sys.executable, "-m", f"eddy_{service}"])
        return subprocess.Popen(command, env=environment, stdout=output, stderr=output)


def _cpu(processes: Sequence["subprocess.Popen[bytes]"]) -> float:
    return sum(sum(psutil.Process(process.pid).cpu_times()[:2]) for process in processes)


async def _read(bus: Bus, group: str, topic: str, records: int) -> None:
    """Return once the group has committed so many records of a topic."""
    async with asyncio.timeout(WITHIN_SEC):
        while sum((await bus.committed(group, topic)).values()) < records:  # noqa: ASYNC110  # only Kafka knows
            await asyncio.sleep(0.1)


async def _signals(bus: Bus) -> int:
    """How many there are: all of them, once all events are read."""
    async with bus.reader(bus.topic_partitions(ITEM_SIGNALS)) as reader:
        return sum((await reader.end_offsets()).values())


async def _nothing(bus: Bus, producer: Producer) -> None:
    """The service needs to know nothing."""


async def _events(producer: Producer) -> int:
    await producer.send_all(USER_EVENTS, features._events(EVENTS))
    return EVENTS


async def _catalogue(bus: Bus, producer: Producer) -> None:
    """Items, their counts, users, and a release of a random model."""
    rng = np.random.default_rng(1)
    names = [f"item-{number}" for number in range(CATALOGUE)]
    items, item_features = Codec.for_topic(ITEMS), Codec.for_topic(ITEM_FEATURES)
    users = Codec.for_topic(USER_FEATURES)
    await producer.send_all(
        ITEMS,
        [(name, items.encode(scorer._item(name, number))) for number, name in enumerate(names)],
    )
    near = rng.integers(0, CATALOGUE, (CATALOGUE, scorer.NEIGHBOURS[CATALOGUE]))
    await producer.send_all(
        ITEM_FEATURES,
        [
            (name, item_features.encode(scorer._item_features(name, 30.0, [names[other] for other in near[number]])))
            for number, name in enumerate(names)
        ],
    )
    for number in range(scorer.USERS):
        history = [names[item] for item in rng.integers(0, CATALOGUE, scorer.HISTORY + scorer.SEEN)]
        await producer.send(USER_FEATURES, f"u{number}", users.encode(scorer._user(number, history)))
    vectors = rng.standard_normal((CATALOGUE + 1, DIM)).astype(np.float32)
    kinds, columns = MODELS[DEFAULT_MODEL], Columns()
    weights = Weights(
        DEFAULT_MODEL,
        columns,
        kinds.encoder(columns).state_dict(),
        kinds.ranker(columns).state_dict(),
        ["", *names],
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
    )
    publisher = ReleasePublisher(producer, bus, SystemClock(), 0, [0] * bus.partitions)
    await publisher.publish(
        weights, GraphExporter.trace(DEFAULT_MODEL, columns).export(weights), [0] * bus.partitions, {}
    )


async def _requests(producer: Producer) -> int:
    codec = Codec.for_topic(RECOMMENDATION_REQUESTS)
    chance = random.Random(1)
    requests = []
    for number in range(REQUESTS):
        user = f"u{chance.randrange(scorer.USERS)}"
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


async def _lists_and_acts(producer: Producer) -> int:
    rng = random.Random(1)
    lists, events = Codec.for_topic(RECOMMENDATIONS), Codec.for_topic(USER_EVENTS)
    served = [joiner._list(number, rng) for number in range(joiner.LISTS)]
    acts = [act for each in served for act in joiner._acts(each, rng)]
    await producer.send_all(RECOMMENDATIONS, [(each["user_id"], lists.encode(each)) for each in served])
    await producer.send_all(USER_EVENTS, [(each["user_id"], events.encode(each)) for each in acts])
    return len(acts)
