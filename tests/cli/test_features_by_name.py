"""A ranking feature is added and another taken away while the stack runs and its services are killed: nothing is refused or forgotten.

The play never stops: requests that are sent while a service is down are answered when it is back.
"""

import asyncio
import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from eddy.contract.codec import Codec
from eddy.contract.records import Item, ModelRelease, Recommendations, TrainingExample
from eddy.contract.topics import (
    DEAD_LETTERS,
    MODEL_RELEASES,
    RECOMMENDATION_REQUESTS,
    RECOMMENDATIONS,
    TRAINING_EXAMPLES,
    USER_EVENTS,
)
from eddy.contract.topics import (
    ITEMS as ITEMS_TOPIC,
)
from eddy.kafka.bus import Bus
from eddy.settings import Settings, load
from eddy_cli.replay.app import ReplayRun, follow
from eddy_cli.replay.drain import wait_for_joiner
from eddy_cli.replay.event_kind import MOVIELENS
from eddy_cli.replay.options import ReplayOptions
from eddy_cli.replay.outbox import Outbox
from eddy_cli.replay.progress import progress_view
from eddy_cli.replay.records import ReplayRecords
from eddy_cli.replay.services import open_impressions
from eddy_cli.replay.stream import Stream
from eddy_cli.replay.tail import Tail
from eddy_trainer.core.models import DEFAULT_MODEL
from eddy_trainer.shell.checkpoint import read_checkpoint
from tests.cli.streams import stream
from tests.poll import poll_until
from tests.service import Service, logs_in, read_all, running

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]

ADDED, REMOVED = "transition_last_1", "trend"
SERVICES = ("features", "joiner", "trainer", "scorer")
BEFORE = AFTER = 1000
MEANWHILE = 600
STEPS, ITEMS = 25, 60
RATE = 60.0


class Stack:
    """The services, each of which can be killed and started again with other features."""

    def __init__(self, environment: dict[str, str], folder: Path, stack: ExitStack) -> None:
        self._environment, self._folder, self._stack = environment, folder, stack
        self.running: dict[str, Service] = {}
        self._lives = 0

    def start(self, service: str, off: str) -> None:
        self._lives += 1
        instance = {} if service == "trainer" else {f"EDDY_{service.upper()}_INSTANCE_ID": service}
        environment = self._environment | instance | {"EDDY_RANKING_FEATURES_OFF": off}
        log = self._folder / f"{self._lives}-{service}.log"
        self.running[service] = self._stack.enter_context(running(service, environment, log))

    async def restart(self, service: str, off: str) -> None:
        await asyncio.to_thread(self.running[service].kill)
        self.start(service, off)
        await self.running[service].ready(120)


@pytest.fixture
def stack(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Stack]:
    environment = {
        "EDDY_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "EDDY_TOPIC_PREFIX": topic_prefix,
        "EDDY_TOPIC_PARTITIONS": "2",
        "EDDY_STATE_DIR": str(tmp_path / "state"),
        "EDDY_JOINER_LATENESS_SEC": "604800",
        "EDDY_TRAINER_CHECKPOINT_INTERVAL_SEC": "1",
        "EDDY_TEXT_MODEL": "",
    }
    with ExitStack() as resources:
        yield Stack(environment, tmp_path, resources)


async def test_features_are_added_and_removed_on_a_running_stack(
    stack: Stack, kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    environment = {
        "EDDY_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "EDDY_TOPIC_PREFIX": topic_prefix,
        "EDDY_TOPIC_PARTITIONS": "2",
    }
    bus = Bus(load(Settings, environment))
    await bus.create_topics()
    for service in SERVICES:
        stack.start(service, ADDED)
    for each in stack.running.values():
        await each.ready(240)
    before, meanwhile, after = _walks()
    await _publish_items(bus, before)
    first = await _play(bus, before, "before")
    await _joiner_passed(bus)
    checkpoint = tmp_path / "state" / f"trainer-{topic_prefix}.ckpt"
    await poll_until(lambda: _examples_in(checkpoint) > BEFORE, 60, what="a checkpoint of the first examples")
    saved = _examples_in(checkpoint)
    former = await _releases(bus)

    async def restart_all() -> None:
        for service in ("trainer", "scorer", "joiner", "features"):
            await stack.restart(service, REMOVED)

    _, second = await asyncio.gather(restart_all(), _play(bus, meanwhile, "meanwhile"))
    third = await _play(bus, after, "after")
    await _joiner_passed(bus)

    # Nothing was refused, no release either: the old one served until the new one came.
    assert await read_all(bus, DEAD_LETTERS) == [], logs_in(tmp_path)
    assert "release_refused" not in logs_in(tmp_path)
    releases = await _releases(bus)
    assert {_names(each["features"]) for each in former} == {(False, True)}
    assert _names(releases[-1]["features"]) == (True, False)
    slates = [Codec.of(Recommendations).decode(each.value) for each in await read_all(bus, RECOMMENDATIONS)]
    assert {_names(each["feature_names"]) for each in slates} == {(False, True), (True, False)}
    first_new = next(each["version"] for each in releases if _names(each["features"]) == (True, False))
    assert max(each["model_version"] for each in slates) >= first_new

    # The impression ledger balances: every impression has one label or is open.
    impressions = sum(each.player.observations.impressions for each in (first, second, third))
    labels, open_now = await _labels(bus), await open_impressions(f"http://127.0.0.1:{stack.running['joiner'].port}")
    assert labels + open_now == impressions > 0, logs_in(tmp_path)

    # Nothing was forgotten: the trainer continued from its checkpoint, up to the last example.
    examples = len(await read_all(bus, TRAINING_EXAMPLES))
    await poll_until(lambda: _examples_in(checkpoint) == examples, 60, what="a checkpoint of all examples")
    assert stack.running["trainer"].metric("eddy_trainer_examples_total") <= examples - saved
    _assert_not_worse(first.player.observations.positions[BEFORE // 2 :], third.player.observations.positions)


async def _releases(bus: Bus) -> list[dict[str, Any]]:
    """The releases that the topic, which is compacted, still has."""
    return [Codec.of(ModelRelease).decode(each.value) for each in await read_all(bus, MODEL_RELEASES)]


def _names(features: Sequence[str]) -> tuple[bool, bool]:
    return ADDED in features, REMOVED in features


def _examples_in(path: Path) -> int:
    checkpoint = read_checkpoint(path, DEFAULT_MODEL)
    return 0 if checkpoint is None else int(checkpoint.learner["examples"])


async def _publish_items(bus: Bus, played: Stream) -> None:
    async with bus.producer() as producer:
        await producer.send_all(
            ITEMS_TOPIC, [(item["item_id"], Codec.of(Item).encode(item)) for item in played.catalogue]
        )


async def _joiner_passed(bus: Bus) -> None:
    async with bus.reader(bus.topic_partitions(USER_EVENTS)) as reader:
        await wait_for_joiner(bus, reader)


async def _labels(bus: Bus) -> int:
    records = [Codec.of(TrainingExample).decode(each.value) for each in await read_all(bus, TRAINING_EXAMPLES)]
    return sum(len(record["items"]) for record in records if record["kind"] == "label")


async def _play(bus: Bus, played: Stream, run: str) -> ReplayRun:
    """Play the stream to its end: requests that are sent while a service is down are answered when it is back."""
    options = ReplayOptions(rate=RATE, window=200, deadline_sec=60.0)
    records = ReplayRecords(run, MOVIELENS, 10, round(options.deadline_sec * 1000))
    async with (
        bus.producer() as producer,
        bus.reader(bus.topic_partitions(RECOMMENDATIONS)) as slates,
        bus.reader(Tail.topic_partitions(bus)) as outcomes,
    ):
        await slates.seek_to_end()
        outbox = Outbox(bus, producer, (RECOMMENDATION_REQUESTS, USER_EVENTS))
        run = ReplayRun(played, options, records, outbox, bus)
        with progress_view(Console(file=io.StringIO()), len(played), 0.0) as view:
            await follow(run, Tail(records), slates, outcomes, view)
    return run


def _walks() -> list[Stream]:
    """Users who come one after another; each walks through the items in order, from a position of their own. In three parts."""
    source = np.random.default_rng(7)
    count = BEFORE + MEANWHILE + AFTER
    starts = source.integers(ITEMS, size=count)
    users = [event // STEPS for event in range(count)]
    items = [int(starts[event // STEPS] + event % STEPS) % ITEMS for event in range(count)]
    whole, ends = stream(users, items, 60_000), (0, BEFORE, BEFORE + MEANWHILE, count)
    return [_part(whole, slice(*each)) for each in pairwise(ends)]


def _part(whole: Stream, events: slice) -> Stream:
    columns = {name: getattr(whole, name)[events] for name in ("users", "items", "values", "times_ms")}
    return replace(whole, **columns)


def _assert_not_worse(before: list[int], after: list[int]) -> None:
    """NDCG@10 after the change is not lower by more than three standard errors of the difference.

    What is independent are walks, of which the events of one user make one. The model still learns, so that the difference expected
    without the change is above zero: one run in a thousand would fail by chance at most.
    """
    walks = [
        np.array([_gain(position) for position in positions]).reshape(-1, STEPS).mean(axis=1)
        for positions in (before, after)
    ]
    error = np.sqrt(sum(walk.var(ddof=1) / len(walk) for walk in walks))
    means = [float(walk.mean()) for walk in walks]
    assert means[1] >= means[0] - 3 * error, (
        f"NDCG@10 {means[0]:.3f} before, {means[1]:.3f} after, standard error {error:.3f}"
    )
    assert means[1] > 0.3


def _gain(position: int) -> float:
    return float(1 / np.log2(position + 2)) if 0 <= position < 10 else 0.0
