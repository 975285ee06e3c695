"""Erasing a user: no example that follows the tombstone comes from before it, whatever crashes and whatever arrives late."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eddy.contract.codec import Record
from eddy_joiner.core.erasures import UserErasure
from eddy_joiner.core.outcomes import Erased
from eddy_joiner.shell.intake import accept_event
from tests.joiner.factories import SEC, T0, Activity, event_record, message_of, random_activity, slate_record
from tests.joiner.simulation import EXAMPLES, POLICY, SimulatedPartition, SimulatedWorker

pytestmark = pytest.mark.slow

IN_FLIGHT = 3  # events


def with_erasures(activity: Activity, rng: random.Random, share: float) -> SimulatedPartition:
    """Some events become the erasure of their user. Slates forget the user too, but for those under way."""
    partition = SimulatedPartition.of(activity)
    erased_at: dict[bytes, int] = {}
    slates_before = list(activity.events_before)
    for offset, message in enumerate(partition.events):
        if rng.random() < share:
            partition.events[offset] = replace(message, value=b"", tombstone=True)
            erased_at[message.key or b""] = offset
            for number, before in enumerate(slates_before):
                record = activity.slates[number]
                if record["user_id"].encode() == message.key and before > offset + IN_FLIGHT:
                    applied = record["applied_offset"]
                    activity.slates[number] = {**record, "applied_offset": applied if applied > offset else -1}
    partition.slates = [message_of(record, offset) for offset, record in enumerate(activity.slates)]
    return partition


def surviving(partition: SimulatedPartition) -> dict[str, Record]:
    """The examples that a reader knows at the end: of an erased user, those after the tombstone."""
    known: dict[str, tuple[bytes | None, Record]] = {}
    for message in partition.output:
        if message.tombstone:
            known = {name: entry for name, entry in known.items() if entry[0] != message.key}
        else:
            record = EXAMPLES.decode(message.value)
            name = record.pop("example_id")
            assert name not in known, f"{name} was written twice"
            known[name] = (message.key, {**record, "labelled_at": 0, "acted_at": record["acted_at"] is not None})
    return {name: record for name, (_, record) in known.items()}


async def run(partition: SimulatedPartition, activity: Activity, rng: random.Random, crash: float, batch: int) -> None:
    """Small batches, slates that arrive just in time, and crashes before and after commits."""
    worker = SimulatedWorker(partition)

    def visible(position: int) -> int:
        return sum(before < position for before in activity.events_before)

    await worker.start(0)
    while worker.position < len(partition.events):
        size = rng.randrange(1, batch)
        await worker.step(size, visible(worker.position + size))
        if rng.random() >= crash:
            worker.commit()
        if rng.random() < crash:
            worker = SimulatedWorker(partition)
            await worker.start(visible(0 if partition.committed is None else partition.committed[0]))
    await worker.step(0, len(activity.slates))
    worker.commit()


@given(st.integers(0, 2**32 - 1), st.sampled_from([4_000, 60_000]))
@settings(max_examples=20, deadline=None)
async def test_nothing_from_before_an_erasure_survives_it(seed: int, step_ms: int) -> None:
    activity = random_activity(seed, steps=120, step_ms=step_ms, disorder=0.0)
    whole = with_erasures(activity, random.Random(seed), share=0.04)
    erasures = {m.key: m for m in whole.events if m.tombstone}  # the last one of each user
    slates = {record["request_id"]: message for record, message in zip(activity.slates, whole.slates, strict=True)}
    offsets = {event["event_id"]: offset for offset, event in enumerate(activity.events)}
    for crash, batch in ((0.0, 10_000), (0.3, 8)):
        partition = SimulatedPartition(whole.slates, whole.events)
        await run(partition, activity, random.Random(seed), crash, batch)
        for record in surviving(partition).values():
            erasure = erasures.get(record["user_id"].encode())
            if erasure is None:
                continue
            assert record["event_id"] is None or offsets[record["event_id"]] > erasure.offset
            if record["request_id"] is not None:
                slate = slates[record["request_id"]]
                assert slate.timestamp_ms > erasure.timestamp_ms
        tombstones = {message.key for message in partition.output if message.tombstone}
        assert tombstones == set(erasures)
        assert sum(m.tombstone for m in partition.output) == sum(m.tombstone for m in partition.events)


@pytest.mark.parametrize("applied", [0, 4])
async def test_a_slate_from_before_the_erasure_that_arrives_later_is_not_joined(applied: int) -> None:
    """It was made from the history of the former user; an impression of it afterwards must not bring that history back."""
    worker = SimulatedWorker(SimulatedPartition([], []))
    await worker.start(0)
    state = worker.state
    state.begin_batch(0, 0)
    erasure = accept_event(
        replace(message_of(event_record("e", "u", "click", T0, "i")), offset=5, value=b"", tombstone=True), POLICY
    )
    assert isinstance(erasure, UserErasure)
    assert state.erase(erasure) == [Erased("u", {})]
    worker.partition.slates.append(message_of(slate_record("r", "u", ["i"], T0 + SEC, applied_offset=applied)))
    shown = event_record("s", "u", "impression", T0 + 2 * SEC, request_id="r")
    clicked = event_record("c", "u", "click", T0 + 3 * SEC, "i", request_id="r")
    worker.partition.events += [message_of(record, offset) for offset, record in enumerate((shown, clicked), 6)]
    worker.position = 0
    await worker.step(2, 1)
    assert state.open_impressions == 0
    assert not worker.uncommitted


async def test_open_impressions_of_an_erased_user_are_accounted_for() -> None:
    slate = slate_record("r", "u", ["i", "j"], T0)
    other = slate_record("q", "v", ["i"], T0)
    shown = [
        event_record(f"s-{request}", user, "impression", T0 + SEC, request_id=request)
        for request, user in (("r", "u"), ("q", "v"))
    ]
    partition = SimulatedPartition.of(Activity([slate, other], shown, [0, 0]))
    worker = SimulatedWorker(partition)
    await worker.start(2)
    await worker.step(2, 2)
    assert worker.state.open_impressions == 3
    outcomes = worker.state.erase(UserErasure("u", 2, T0 + 2 * SEC))
    assert outcomes == [Erased("u", {"video": 2})]
    assert worker.state.open_impressions == 1
    assert not list(worker.state._slates.of_user("u"))
