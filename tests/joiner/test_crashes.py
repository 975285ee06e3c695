"""Any interleaving, duplication, reordering or crash gives the same books and the same examples."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eddy_joiner.core.rewind import Rewind
from tests.joiner.factories import Life, random_life
from tests.joiner.simulation import Partition, SimulatedWorker, disturbed, undisturbed

pytestmark = pytest.mark.slow

SEEDS = st.integers(0, 2**32 - 1)


def labels_of(partition: Partition) -> dict[tuple[str, str], int]:
    """Labels by request and item. Raises AssertionError when one has two."""
    found: dict[tuple[str, str], int] = {}
    for record in partition.examples().values():
        if record["kind"] != "label":
            continue
        for item in record["items"]:
            assert (record["request_id"], item["item_id"]) not in found
            found[record["request_id"], item["item_id"]] = item["label"]
    return found


def shown_by(life: Life, worker: SimulatedWorker, partition: Partition) -> set[tuple[str, str]]:
    """What the impressions of a life make visible, by their plain definition."""
    slates = {record["request_id"]: [item["item_id"] for item in record["items"]] for record in life.slates}
    refused = {outcome.message.offset for outcome in partition.refused}
    found: set[tuple[str, str]] = set()
    for offset, event in enumerate(life.events):
        if event["action"] == "impression" and offset not in refused:
            items = slates[event["request_id"]]
            named = items if event["item_id"] is None else [event["item_id"]]
            found |= {(event["request_id"], item) for item in named if item in items}
    return found


@given(SEEDS, st.sampled_from([4_000, 60_000, 200_000]), st.sampled_from([3, 25]))
@settings(max_examples=40, deadline=None)
async def test_small_batches_and_crashes_give_the_same_examples(seed: int, step_ms: int, batch: int) -> None:
    life = random_life(seed, steps=150, step_ms=step_ms)
    expected, whole = await undisturbed(life)
    found, worker = await disturbed(life, random.Random(seed), crash=0.6 / batch + 0.1, batch=batch + 1)
    assert found.examples() == expected.examples()
    assert worker.state.open_impressions == whole.state.open_impressions
    assert worker.state.watermark == whole.state.watermark


@given(SEEDS)
@settings(max_examples=25, deadline=None)
async def test_lists_that_come_after_their_events_give_the_same_labels(seed: int) -> None:
    life = random_life(seed, steps=120, step_ms=4_000)
    expected, whole = await undisturbed(life)
    found, worker = await disturbed(life, random.Random(seed), crash=0.1, late_lists=4)
    assert labels_of(found) == labels_of(expected)
    kinds = {name for name, record in expected.examples().items() if record["kind"] != "label"}
    assert {name for name, record in found.examples().items() if record["kind"] != "label"} == kinds
    assert worker.state.open_impressions == whole.state.open_impressions


@given(SEEDS, st.sampled_from([400, 4_000, 40_000]))
@settings(max_examples=25, deadline=None)
async def test_books_balance(seed: int, step_ms: int) -> None:
    life = random_life(seed, steps=80, step_ms=step_ms, disorder=0.4)
    partition, worker = await disturbed(life, random.Random(seed), crash=0.3)
    labels, shown = labels_of(partition), shown_by(life, worker, partition)
    assert labels.keys() <= shown
    assert len(shown) == len(labels) + worker.state.open_impressions


@given(SEEDS)
@settings(max_examples=20, deadline=None)
async def test_every_positive_event_is_one_next_item(seed: int) -> None:
    life = random_life(seed, steps=80)
    _, worker = await disturbed(life, random.Random(seed), crash=0.3)
    worker.pending += worker.state.idle(worker.state.watermark + 10**8)
    worker.commit()
    found = {record["event_id"] for record in worker.partition.examples().values() if record["kind"] == "next_item"}
    positive = {"click", "play", "like", "share", "view", "add_to_cart", "purchase"}
    assert found == {event["event_id"] for event in life.events if event["action"] in positive}


async def test_a_restart_reads_a_window_not_everything() -> None:
    life = random_life(3, steps=2_000)
    partition, worker = await undisturbed(life)
    await worker.step(0, len(life.slates))
    worker.commit()
    rewind = worker.rewind()
    assert rewind.slates > len(life.slates) * 0.8
    partition, worker = await disturbed(life, random.Random(1), crash=0.02)
    rewind = worker.rewind()
    assert rewind.events > len(life.events) * 0.8
    assert rewind.slates > len(life.slates) * 0.8
    assert rewind.own > len(partition.own) * 0.7
    assert len(rewind.encode()) < 200


def test_rewind_comes_back_from_its_metadata() -> None:
    rewind = Rewind(1, 2, 3, -(2**63), 5, 6, 7, 8)
    assert Rewind.decode(rewind.encode()) == rewind
