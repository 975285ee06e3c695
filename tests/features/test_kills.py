"""SIGKILL at random moments, each time with an empty disk: the published states equal those of an undisturbed run."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from eddy.contract.topics import ITEM_FEATURES, RECOMMENDATIONS, USER_FEATURES
from eddy_features.core.item_state import ItemPolicy
from tests.features.environment import FeaturesCluster
from tests.features.factories import encoded, event, slate, slates, stream
from tests.features.reference import reference_features
from tests.poll import poll_until

pytestmark = pytest.mark.stack

KILLS = 6
EVENTS_PER_RUN = 3500


async def test_states_survive_kills_at_random_moments(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    """With one partition, so that the order of signals is fixed too and every bit must match."""
    cluster = FeaturesCluster(kafka, topic_prefix, tmp_path, partitions=1)
    await cluster.bus.create_topics()
    rng = random.Random(topic_prefix)
    records = stream(seed=11, count=(KILLS + 1) * EVENTS_PER_RUN)
    served = slates(records)
    await cluster.publish(served, RECOMMENDATIONS)
    for run in range(KILLS):
        await cluster.publish(records[run * EVENTS_PER_RUN : (run + 1) * EVENTS_PER_RUN])
        with cluster.worker(instance_id="one", commit_interval_sec="0.05", batch_events="200") as worker:
            async with _new_features(cluster, rng.randrange(1, 2000)):
                pass
            worker.kill()
    await cluster.publish(records[KILLS * EVENTS_PER_RUN :])
    with cluster.worker(instance_id="one"):
        await cluster.drained(60)
    expected = reference_features(await cluster.event_logs(), slates=served)
    assert await cluster.user_features() == expected.user_features(), cluster.logs()
    assert await cluster.item_features() == expected.item_features(), cluster.logs()
    assert await cluster.dead_letters() == expected.dead_letters, cluster.logs()


async def test_a_kill_loses_no_impression_of_items_that_wait(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    """Items that were only shown are written later than one that was clicked after them."""
    cluster = FeaturesCluster(kafka, topic_prefix, tmp_path, partitions=1)
    await cluster.bus.create_topics()
    served = [slate("u1", "r", ["m7", "m8"])]
    await cluster.publish(served, RECOMMENDATIONS)
    with cluster.worker(instance_id="one", commit_interval_sec="0.05") as worker:
        await poll_until(worker.is_ready, what="ready")
        await cluster.publish(
            [encoded(event(1, action="impression", item_id=None, request_id="r")), encoded(event(2)), encoded(event(3))]
        )

        async def written() -> bool:
            return {"m2", "m3"} <= (await cluster.item_features()).keys()

        await poll_until(written, interval_sec=0.2, what="the clicked items written")
        assert not {"m7", "m8"} & (await cluster.item_features()).keys()
        worker.kill()
    with cluster.worker(instance_id="one"):
        await cluster.publish([encoded(event(7))])
        await cluster.drained(60)
    expected = reference_features(await cluster.event_logs(), slates=served).item_features()
    assert [expected[item]["counts"][0]["shown"] for item in ("m7", "m8")] == pytest.approx([1, 1], rel=1e-3)
    assert await cluster.item_features() == expected, cluster.logs()


async def test_worker_takes_over_from_a_killed_one(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    """Four partitions, two workers in the group, one of which is killed for good.

    What newcomers count depends on who came first, which differs with the partitions, so that it is not bounded here.
    """
    cluster = FeaturesCluster(kafka, topic_prefix, tmp_path, partitions=4, bound_newcomers="false")
    await cluster.bus.create_topics()
    records = stream(seed=12, count=20_000, items=100)
    served = slates(records)
    await cluster.publish(served, RECOMMENDATIONS)
    await cluster.publish(records[:4000])
    with cluster.worker(session_timeout_sec="6") as first, cluster.worker(session_timeout_sec="6") as second:
        await poll_until(lambda: first.is_ready() and second.is_ready(), what="both workers ready")
        async with _new_features(cluster, 500):
            await cluster.publish(records[4000:12_000])
        first.kill()
        await cluster.publish(records[12_000:])
        await cluster.drained(60)
    expected = reference_features(await cluster.event_logs(), ItemPolicy(bounded=False), served)
    assert await cluster.user_features() == expected.user_features(), cluster.logs()
    _assert_same_items(await cluster.item_features(), expected.item_features())
    assert await cluster.dead_letters() == expected.dead_letters, cluster.logs()


@asynccontextmanager
async def _new_features(cluster: FeaturesCluster, records: int) -> AsyncIterator[None]:
    """On exit, wait until `records` more features records exist than on entry."""
    partitions = [*cluster.bus.topic_partitions(USER_FEATURES), *cluster.bus.topic_partitions(ITEM_FEATURES)]
    async with cluster.bus.reader(partitions) as reader:

        async def count() -> int:
            return sum((await reader.end_offsets(partitions)).values())

        before = await count()
        yield

        async def reached() -> bool:
            return await count() >= before + records

        await poll_until(reached, interval_sec=0.002, what=f"{records} more records of features")


def _assert_same_items(items: dict[str, dict[str, Any]], expected: dict[str, dict[str, Any]]) -> None:
    """Signals of several source partitions interleave in any order, so sums agree up to rounding only."""
    assert items.keys() == expected.keys()
    for item_id, record in items.items():
        assert _exact_part(record) == _exact_part(expected[item_id])
        assert _sums(record) == pytest.approx(_sums(expected[item_id]), rel=1e-4)


def _exact_part(record: dict[str, Any]) -> dict[str, Any]:
    totals = {row["scenario"]: row["total"] for row in record["counts"]}
    return {**{name: record[name] for name in ("applied_offsets", "as_of", "first_at")}, "totals": totals}


def _sums(record: dict[str, Any]) -> dict[str, float]:
    # The sums of the last hour are by arrival, so that they depend on the order.
    names = [name for name in record["counts"][0] if name != "scenario" and not name.endswith("_hour")]
    counts = {f"{row['scenario']}/{name}": row[name] for row in record["counts"] for name in names}
    covisits = dict(zip(record["covisited"], record["covisit_weights"], strict=True))
    transitions = {
        f"then {other}": weight for other, weight in zip(record["covisited"], record["transition_weights"], strict=True)
    }
    return {**counts, **covisits, **transitions}
