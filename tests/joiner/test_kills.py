"""Repeated SIGKILLs in the middle of a stream give the same examples as an undisturbed run."""

import random
from pathlib import Path

import pytest

from eddy.contract.topics import TRAINING_EXAMPLES
from tests.joiner.factories import random_activity
from tests.joiner.processes import (
    all_joined,
    bus_of,
    by_partition,
    examples_of,
    expected_examples,
    feed,
    joiners,
    written,
)
from tests.poll import poll_until
from tests.service import read_all

pytestmark = pytest.mark.stack

KILLS = 8


@pytest.mark.timeout(600)
async def test_labels_survive_kills_of_two_joiners(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    """Two joiners in a group on four partitions. A random one is killed mid-stream and restarted; the last one killed is not."""
    rng = random.Random(7)
    bus = bus_of(kafka, topic_prefix)
    await bus.create_topics()
    activities = by_partition(bus, random_activity(7, steps=4_000, users=200))
    with joiners(kafka, topic_prefix, tmp_path) as group:
        running = {name: group.start(name) for name in ("one", "two")}
        for joiner in running.values():
            await joiner.ready()
        for kill in range(KILLS):
            before = await written(bus)
            await feed(bus, activities, kill, KILLS + 1)
            grown = before + rng.randrange(1, 800)
            await poll_until(lambda grown=grown: _has_grown(bus, grown), 60, 0.02, "examples of this part")
            name = rng.choice(list(running))
            running.pop(name).kill()
            if kill < KILLS - 1:
                running[name] = group.start(name)
        await feed(bus, activities, KILLS, KILLS + 1)
        await all_joined(bus)
        (last,) = running.values()
        details = await last.ready()
        assert {partition["open"] for partition in details["partitions"].values()} == {0}
        assert last.metric("eddy_joiner_impressions_total") == last.metric("eddy_joiner_labels_total") > 0
    examples = examples_of(await read_all(bus, TRAINING_EXAMPLES), bus)
    expected = await expected_examples(activities)
    assert len(expected) > 5_000
    assert examples.keys() - expected.keys() == set()
    assert expected.keys() - examples.keys() == set()
    assert [name for name in expected if examples[name] != expected[name]] == []


async def _has_grown(bus, end: int) -> bool:  # type: ignore[no-untyped-def]  # a Bus
    return await written(bus) >= end
