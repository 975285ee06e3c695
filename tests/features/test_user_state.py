import zlib

import numpy as np

from services.features.cleaning import Cleaner, Event
from services.features.user_state import Outcome, UserPolicy, UserState
from shared.codec import Codec
from tests.features.factories import encoded, event, message
from tests.features.undisturbed import SCENARIOS

CLEAN = Cleaner(SCENARIOS)
SMALL = UserPolicy(interactions=3, seen=2, recent_events=4, previous=2)


def clean(offset: int, **changes: object) -> Event:
    return CLEAN(message(offset, encoded(event(offset, **changes))))


def state_after(count: int, policy: UserPolicy = SMALL) -> UserState:
    state = UserState()
    for offset in range(count):
        assert state.apply(clean(offset), policy) is Outcome.APPLIED
    return state


def test_history_keeps_the_newest_and_the_rest_is_seen() -> None:
    state = state_after(6)
    assert state.item_ids == ["m3", "m4", "m5"]
    assert state.offsets == [3, 4, 5]
    assert np.frombuffer(state.seen, "<u4").tolist() == [zlib.crc32(b"m1"), zlib.crc32(b"m2")]


def test_only_positive_actions_are_history_and_all_are_counted() -> None:
    state = state_after(1)
    for offset, action in enumerate(["skip", "search", "impression", "rate"], 1):
        state.apply(clean(offset, action=action), SMALL)
    assert state.actions == ["click", "rate"]
    assert state.counts == dict.fromkeys(
        ["video/click", "video/skip", "video/search", "video/impression", "video/rate"], 1
    )


def test_event_read_again_changes_nothing() -> None:
    state = state_after(3)
    before = state.record("u1")
    assert state.apply(clean(2), SMALL) is Outcome.REPLAYED
    assert state.record("u1") == before


def test_duplicate_moves_the_offset_and_nothing_else() -> None:
    state = state_after(2)
    before = Codec.of("user_features").encode({**state.record("u1"), "applied_offset": 9})
    assert state.apply(clean(9, event_id="e1"), SMALL) is Outcome.DUPLICATE
    assert Codec.of("user_features").encode(state.record("u1")) == before


def test_duplicates_are_known_among_the_last_events_only() -> None:
    state = state_after(5)
    assert state.apply(clean(9, event_id="e1"), SMALL) is Outcome.DUPLICATE
    assert state.apply(clean(10, event_id="e0"), SMALL) is Outcome.APPLIED


def test_as_of_is_the_newest_event_time_whatever_the_order() -> None:
    state = UserState()
    state.apply(clean(0, occurred_at=-5), SMALL)
    assert state.as_of == -5
    state.apply(clean(1, occurred_at=100), SMALL)
    state.apply(clean(2, occurred_at=50), SMALL)
    assert state.as_of == 100


def test_previous_are_distinct_others_newest_first() -> None:
    state = UserState()
    for offset, item in enumerate(["a", "b", "a", "c", "c"]):
        state.apply(clean(offset, item_id=item), UserPolicy())
    assert state.previous("c", 20) == ["a", "b"]
    assert state.previous("x", 2) == ["c", "a"]
    assert UserState().previous("x", 20) == []


def test_record_reads_back_as_the_same_state() -> None:
    state = state_after(6)
    codec = Codec.of("user_features")
    read = UserState.of(codec.decode(codec.encode(state.record("u1"))))
    assert codec.encode(read.record("u1")) == codec.encode(state.record("u1"))
    assert read.recent == state.recent
