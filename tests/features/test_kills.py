"""SIGKILL at random moments, an empty disk each time: the published states are those of a run that nobody disturbed."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from eddy.contract.topics import ITEM_FEATURES, USER_FEATURES
from tests.features.environment import FeaturesEnvironment
from tests.features.factories import stream
from tests.features.reference import reference_features
from tests.poll import poll_until

pytestmark = pytest.mark.stack

KILLS = 6
EVENTS_PER_LIFE = 3500


async def test_states_survive_kills_at_random_moments(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    """One partition, so that items too see a single order and every bit must match."""
    place = FeaturesEnvironment(kafka, topic_prefix, tmp_path, partitions=1)
    await place.bus.create_topics()
    chance = random.Random(topic_prefix)
    records = stream(seed=11, count=(KILLS + 1) * EVENTS_PER_LIFE)
    for life in range(KILLS):
        await place.publish(records[life * EVENTS_PER_LIFE : (life + 1) * EVENTS_PER_LIFE])
        with place.worker(instance_id="one", commit_interval_sec="0.05", batch_events="200") as worker:
            async with _more_features(place, chance.randrange(1, 2000)):
                pass
            worker.kill()
    await place.publish(records[KILLS * EVENTS_PER_LIFE :])
    with place.worker(instance_id="one"):
        await poll_until(place.done, what="all events handled")
    expected = reference_features(await place.event_logs())
    assert await place.user_features() == expected.user_features(), place.logs()
    assert await place.item_features() == expected.item_features(), place.logs()
    assert await place.dead_letters() == expected.dead, place.logs()


async def test_worker_takes_over_from_a_killed_one(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    """Four partitions, two workers in the group, one killed and never back."""
    place = FeaturesEnvironment(kafka, topic_prefix, tmp_path, partitions=4)
    await place.bus.create_topics()
    records = stream(seed=12, count=20_000, items=100)
    await place.publish(records[:4000])
    with place.worker(session_timeout_sec="6") as first, place.worker(session_timeout_sec="6") as second:
        await poll_until(lambda: first.is_ready() and second.is_ready(), what="both workers ready")
        async with _more_features(place, 500):
            await place.publish(records[4000:12_000])
        first.kill()
        await place.publish(records[12_000:])
        await poll_until(place.done, timeout_sec=60, interval_sec=0.5, what="all events handled")
    expected = reference_features(await place.event_logs())
    assert await place.user_features() == expected.user_features(), place.logs()
    _assert_same_items(await place.item_features(), expected.item_features())
    assert await place.dead_letters() == expected.dead, place.logs()


@asynccontextmanager
async def _more_features(place: FeaturesEnvironment, records: int) -> AsyncIterator[None]:
    """Wait at the end until there are so many more records of features than at the beginning."""

    partitions = [*place.bus.topic_partitions(USER_FEATURES), *place.bus.topic_partitions(ITEM_FEATURES)]
    async with place.bus.reader(partitions) as reader:

        async def written() -> int:
            return sum((await reader.end_offsets(partitions)).values())

        before = await written()
        yield

        async def reached() -> bool:
            return await written() >= before + records

        await poll_until(reached, interval_sec=0.002, what=f"{records} more records of features")


def _assert_same_items(found: dict[str, dict[str, Any]], expected: dict[str, dict[str, Any]]) -> None:
    """Items of several source partitions: signals interleave as they like, so sums agree up to rounding."""
    assert found.keys() == expected.keys()
    for item_id, record in found.items():
        assert _exact_part(record) == _exact_part(expected[item_id])
        assert _sums(record) == pytest.approx(_sums(expected[item_id]), rel=1e-4)


def _exact_part(record: dict[str, Any]) -> dict[str, Any]:
    totals = {row["scenario"]: row["total"] for row in record["counts"]}
    return {**{name: record[name] for name in ("applied_offsets", "as_of", "first_at")}, "totals": totals}


def _sums(record: dict[str, Any]) -> dict[str, float]:
    counts = {f"{row['scenario']}/{name}": row[name] for row in record["counts"] for name in row if name != "scenario"}
    covisits = dict(zip(record["covisited"], record["covisit_weights"], strict=True))
    transitions = {
        f"then {other}": weight for other, weight in zip(record["covisited"], record["transition_weights"], strict=True)
    }
    return {**counts, **covisits, **transitions}
