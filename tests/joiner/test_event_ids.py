"""Ids of events: found as in a dictionary, in a fraction of its memory."""

import random
import sys

import pytest

from eddy_joiner.core.event_ids import EventIds
from eddy_joiner.core.join_batches import JoinBatch, JoinBatches
from eddy_joiner.core.timelines import NEVER, ReachedTimes

pytestmark = pytest.mark.unit


def test_ids_are_found_as_in_a_dictionary() -> None:
    ids, rng = EventIds(), random.Random(0)
    expected: dict[tuple[str, str], int] = {}
    since = found = 0
    for offset in range(30_000):
        user, event = f"u{rng.randrange(40)}", f"e{rng.randrange(500)}"
        if offset % 400 == 399:
            ids.forget(user, offset)
            expected = {key: first for key, first in expected.items() if key[0] != user}
        since = max(since, offset - rng.randrange(3000, 6000))
        first = expected.get((user, event), -1)
        if first < since:
            assert ids.add(user, event, offset, since) is None
            expected[user, event] = offset
        else:
            found += 1
            assert ids.add(user, event, offset, since) == first
    assert found > 3000


def test_an_id_belongs_to_its_user() -> None:
    ids = EventIds()
    for offset, (user, event) in enumerate([("a", "bc"), ("ab", "c"), ("a b", "c"), ("a", " bc"), ("", "abc")]):
        assert ids.add(user, event, offset, 0) is None


def test_what_is_forgotten_leaves_the_memory() -> None:
    ids = EventIds()
    for offset in range(100_000):
        ids.add(f"user-{offset}", "the same", offset, max(0, offset - 10_000))
        if offset % 10 == 0:
            ids.forget(f"user-{offset}", offset + 1)
    assert len(ids) < 12_000
    assert len(ids._erased) < 1300
    parts = [ids._digests, ids._offsets, ids._recent, *ids._recent.items(), *ids._recent, *ids._recent.values()]
    assert sum(map(sys.getsizeof, parts)) < 60 * len(ids)


def batch(offset: int) -> JoinBatch:
    return JoinBatch(offset, 0, (offset, offset), ReachedTimes())


def test_passed_batches_behind_one_that_is_kept_become_a_part_of_it() -> None:
    """An erasure keeps its batch for long; the batches after it must not cost memory for as long."""
    batches = JoinBatches()
    for offset in range(0, 10_000, 10):
        batches.begin(batch(offset))
        batches.current.keep(0, 10**6 if offset == 500 else offset + 50)
        assert batches.register(("u", str(offset)), offset + 3) is None
        assert batches.oldest((offset, offset)) is not None
    oldest = batches.oldest((9990, 9990))
    assert oldest is not None
    assert oldest.events_offset == 500
    assert len(batches._batches) < 150
    known = batches.register(("u", "5000"), 10_003)
    assert known is oldest
    assert batches.register(("u", "490"), 10_004) is None  # before the oldest batch
    recent = batches.register(("u", "9990"), 10_005)
    assert recent is not None
    assert recent.events_offset == 9990


def test_what_keeps_a_part_of_a_batch_keeps_the_batch() -> None:
    batches = JoinBatches()
    made = [batch(offset) for offset in range(200)]
    made[0].keep(0, 10**6)
    for each in made:
        batches.begin(each)
    batches.oldest((300, 300))
    assert made[7].earlier is made[0]
    made[7].keep(1, 2 * 10**6)
    assert made[0].keep_until == [10**6, 2 * 10**6]
    assert made[7].keep_until == [NEVER, NEVER]
