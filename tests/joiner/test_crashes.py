"""Any interleaving, duplication, reordering or crash gives the same examples and a balanced impression ledger."""

import random
from bisect import bisect_left

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eddy.errors import FatalError
from eddy_joiner.core.restart_point import RestartPoint
from eddy_joiner.core.timelines import ReachedTimes
from tests.joiner.factories import REPLAYED_AT, Activity, event_record, random_activity
from tests.joiner.simulation import SimulatedPartition, run_disturbed, run_undisturbed

pytestmark = pytest.mark.slow

SEEDS = st.integers(0, 2**32 - 1)
# Append times: as the activity was lived, or all at the time of a replay.
APPENDED = st.sampled_from([None, REPLAYED_AT])


def labels_of(partition: SimulatedPartition) -> dict[tuple[str, str], int]:
    """Labels by request and item. Raises AssertionError if an impression has two."""
    labels: dict[tuple[str, str], int] = {}
    for record in partition.examples().values():
        if record["kind"] != "label":
            continue
        for item in record["items"]:
            assert (record["request_id"], item["item_id"]) not in labels
            labels[record["request_id"], item["item_id"]] = item["label"]
    return labels


def impressions_of(activity: Activity, partition: SimulatedPartition) -> set[tuple[str, str]]:
    """The (request, item) pairs that the impression events of an activity show, by their plain definition."""
    slates = {record["request_id"]: [item["item_id"] for item in record["items"]] for record in activity.slates}
    refused = {outcome.message.offset for outcome in partition.refused}
    impressions: set[tuple[str, str]] = set()
    for offset, event in enumerate(activity.events):
        if event["action"] == "impression" and offset not in refused:
            items = slates[event["request_id"]]
            reported = items if event["item_id"] is None else [event["item_id"]]
            impressions |= {(event["request_id"], item) for item in reported if item in items}
    return impressions


def in_order(activity: Activity) -> Activity:
    """The same activity, with events that arrive in the order of their time."""
    events = sorted(activity.events, key=lambda event: event["occurred_at"])
    times = [event["occurred_at"] for event in events]
    events_before = [bisect_left(times, slate["requested_at"]) for slate in activity.slates]
    slates = []
    for slate, before in zip(activity.slates, events_before, strict=True):
        known = [offset for offset in range(before) if events[offset]["user_id"] == slate["user_id"]]
        slates.append({**slate, "applied_offset": max(known, default=-1)})
    return Activity(slates, events, events_before)


@given(SEEDS, st.sampled_from([4_000, 60_000, 200_000]), st.sampled_from([3, 25]), APPENDED)
@settings(max_examples=40, deadline=None)
async def test_small_batches_and_crashes_give_the_same_examples(
    seed: int, step_ms: int, batch: int, appended_at: int | None
) -> None:
    # Small batches crash ten times as often, and each crash reads a window again.
    activity = random_activity(seed, steps=75 if batch == 3 else 150, step_ms=step_ms)
    expected, whole = await run_undisturbed(activity, appended_at)
    crash = 0.6 / batch + 0.1
    partition, worker = await run_disturbed(
        activity, random.Random(seed), crash, batch=batch + 1, appended_at=appended_at
    )
    assert partition.examples() == expected.examples()
    assert worker.state.open_impressions == whole.state.open_impressions
    assert worker.state.watermarks == whole.state.watermarks


@given(SEEDS, st.sampled_from([60_000, 200_000, 400_000]))
@settings(max_examples=12, deadline=None)
async def test_a_log_replayed_in_a_moment_gives_the_labels_of_the_log_as_it_was_lived(seed: int, step_ms: int) -> None:
    activity = in_order(random_activity(seed, steps=150, step_ms=step_ms, disorder=0.0))
    # The log goes on: the last events close windows once another user has reached their times.
    ended = max(activity.events[-1]["occurred_at"], activity.slates[-1]["requested_at"])
    activity.events.extend(event_record(f"end-{user}", user, "search", ended) for user in ("u0", "u1"))
    lived, lived_worker = await run_undisturbed(activity)
    replayed, replayed_worker = await run_undisturbed(activity, REPLAYED_AT)
    assert 0 < sum(labels_of(lived).values()) < len(labels_of(lived))
    assert labels_of(replayed) == labels_of(lived)
    assert replayed.examples().keys() == lived.examples().keys()
    assert replayed_worker.state.open_impressions == lived_worker.state.open_impressions


@given(SEEDS, APPENDED)
@settings(max_examples=25, deadline=None)
async def test_slates_that_arrive_after_their_events_give_the_same_labels(seed: int, appended_at: int | None) -> None:
    activity = random_activity(seed, steps=120, step_ms=4_000)
    expected, whole = await run_undisturbed(activity, appended_at)
    partition, worker = await run_disturbed(
        activity, random.Random(seed), crash=0.1, late_slates=4, appended_at=appended_at
    )
    assert labels_of(partition) == labels_of(expected)
    others = {name for name, record in expected.examples().items() if record["kind"] != "label"}
    assert {name for name, record in partition.examples().items() if record["kind"] != "label"} == others
    assert worker.state.open_impressions == whole.state.open_impressions


@given(SEEDS, st.sampled_from([400, 4_000, 40_000]), APPENDED)
@settings(max_examples=25, deadline=None)
async def test_the_impression_ledger_balances(seed: int, step_ms: int, appended_at: int | None) -> None:
    activity = random_activity(seed, steps=80, step_ms=step_ms, disorder=0.4)
    partition, worker = await run_disturbed(activity, random.Random(seed), crash=0.3, appended_at=appended_at)
    labels, impressions = labels_of(partition), impressions_of(activity, partition)
    assert labels.keys() <= impressions
    assert len(impressions) == len(labels) + worker.state.open_impressions


@given(SEEDS)
@settings(max_examples=20, deadline=None)
async def test_every_positive_event_gives_one_next_item_example(seed: int) -> None:
    activity = random_activity(seed, steps=80)
    _, worker = await run_disturbed(activity, random.Random(seed), crash=0.3)
    worker.uncommitted += worker.state.idle(worker.state.watermark + 10**8)
    worker.commit()
    event_ids = {record["event_id"] for record in worker.partition.examples().values() if record["kind"] == "next_item"}
    positive_actions = {"click", "play", "like", "share", "view", "add_to_cart", "purchase"}
    assert event_ids == {event["event_id"] for event in activity.events if event["action"] in positive_actions}


async def test_a_restart_reads_one_window_of_the_logs() -> None:
    activity = random_activity(3, steps=2_000)
    partition, worker = await run_undisturbed(activity)
    await worker.step(0, len(activity.slates))
    worker.commit()
    restart = worker.restart_point()
    assert restart.slates_offset > len(activity.slates) * 0.8
    partition, worker = await run_disturbed(activity, random.Random(1), crash=0.02)
    restart = worker.restart_point()
    assert restart.events_offset > len(activity.events) * 0.8
    assert restart.slates_offset > len(activity.slates) * 0.8
    assert restart.output_offset > len(partition.output) * 0.7
    assert len(restart.encode()) < 300


def test_a_restart_point_survives_encoding() -> None:
    restart = RestartPoint(1, 2, 3, -(2**63), 5, 6, 7, 8, 9, 10, 11, 2**64 - 1, 13, 14)
    assert RestartPoint.decode(restart.encode()) == restart
    # Former versions have committed these: a new version must read them.
    second = RestartPoint(1, 2, 3, -(2**63), 5, 6, 7, 8, 9, 10, 11)
    assert RestartPoint.decode("2:1:2:3:-9223372036854775808:5:6:7:8:9:10:11") == second
    assert RestartPoint.decode("2:1:2:3:4:5:6:7:8:9:10:11").reached_times == ReachedTimes(0, 4, 4)
    assert restart.reached_times == ReachedTimes(2**64 - 1, 13, 14)
    first = RestartPoint(1, 2, 3, -(2**63), 5, 6, 7, 8)
    assert RestartPoint.decode("1:1:2:3:-9223372036854775808:5:6:7:8") == first


@pytest.mark.parametrize("metadata", ["", "by hand", "3:1:2:3:4:5:6:7:8", "2:1:2", "2:1:2:3:4:5:6:7:8:9:10:x"])
def test_metadata_of_another_program_ends_the_joiner(metadata: str) -> None:
    with pytest.raises(FatalError, match="delete the offsets"):
        RestartPoint.decode(metadata)
