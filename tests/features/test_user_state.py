import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eddy.contract.codec import Codec, load_schema
from eddy.errors import DecodeError
from eddy.paths import SCHEMAS
from eddy_features.core.cleaning import Cleaner, CleanEvent
from eddy_features.core.user_state import UpdateResult, UserPolicy, UserState
from tests.features.factories import START_MS, encoded, event, message
from tests.features.reference import SCENARIOS

CLEAN = Cleaner(SCENARIOS)
SMALL = UserPolicy(interactions=3, seen=2, recent_events=4, previous=2)


def clean(offset: int, **changes: object) -> CleanEvent:
    return CLEAN(message(offset, encoded(event(offset, **changes))))


def state_after(count: int, policy: UserPolicy = SMALL) -> UserState:
    state = UserState()
    for offset in range(count):
        assert state.apply(clean(offset), policy) is UpdateResult.APPLIED
    return state


def record(state: UserState) -> dict[str, Any]:
    return Codec.of("user_features").decode(state.encode("u1"))


def names(packed: list[bytes]) -> list[str]:
    return [one[1:].decode() for one in packed]


def test_history_keeps_the_newest_and_the_rest_is_seen() -> None:
    state = state_after(6)
    history = record(state)["history"]
    assert history["item_ids"] == ["m3", "m4", "m5"]
    assert history["actions"] == ["click"] * 3
    assert history["scenarios"] == ["video"] * 3
    assert history["values"] == pytest.approx([0.725] * 3)
    assert history["occurred_at"] == [START_MS + second * 1000 for second in (3, 4, 5)]
    assert record(state)["offsets"] == [3, 4, 5]
    assert np.frombuffer(record(state)["seen"], "<u4").tolist() == [zlib.crc32(b"m1"), zlib.crc32(b"m2")]


def test_only_positive_actions_are_history_and_all_are_counted() -> None:
    state = state_after(1)
    for offset, action in enumerate(["skip", "search", "impression", "rate"], 1):
        state.apply(clean(offset, action=action), SMALL)
    assert record(state)["history"]["actions"] == ["click", "rate"]
    assert state.counts == dict.fromkeys(
        ["video/click", "video/skip", "video/search", "video/impression", "video/rate"], 1
    )


def test_history_says_with_which_interactions_a_value_was_given() -> None:
    default = SCENARIOS["video"].actions["click"].value
    assert default is not None
    state = UserState()
    for offset, value in enumerate([4.0, None, default.default]):
        state.apply(clean(offset, value=value), SMALL)
    history = record(state)["history"]
    assert history["values"][1] == history["values"][2]
    assert history["valued"] == [True, False, True]
    state.apply(clean(3), SMALL)
    assert record(state)["history"]["valued"] == [False, True, False]


def test_history_of_before_goes_on_with_what_is_known_of_its_end() -> None:
    """A record of version 1 does not say which values were given; what comes after does."""
    state = state_after(2)
    old = record(state)
    del old["history"]["valued"]
    first = Codec("user_features", load_schema(SCHEMAS / "versions" / "user_features.1.avsc"), []).encode(old)
    state = UserState.decode(first)
    assert record(state)["history"]["valued"] == []
    for offset, valued in enumerate([[True], [True, True], [True] * 3, [True] * 3], 2):
        state.apply(clean(offset, value=5.0), SMALL)
        assert record(state)["history"]["valued"] == valued
        state = UserState.decode(state.encode("u1"))


def test_event_read_again_changes_nothing() -> None:
    state = state_after(3)
    before = state.encode("u1")
    assert state.apply(clean(2), SMALL) is UpdateResult.ALREADY_APPLIED
    assert state.encode("u1") == before


def test_duplicate_moves_the_offset_and_nothing_else() -> None:
    state = state_after(2)
    before = record(state)
    assert state.apply(clean(9, event_id="e1"), SMALL) is UpdateResult.DUPLICATE
    assert record(state) == {**before, "applied_offset": 9}


def test_duplicates_are_known_among_the_last_events_only() -> None:
    state = state_after(5)
    assert state.apply(clean(9, event_id="e1"), SMALL) is UpdateResult.DUPLICATE
    assert state.apply(clean(10, event_id="e0"), SMALL) is UpdateResult.APPLIED


def test_events_without_an_id_are_nobodys_duplicates() -> None:
    state = state_after(1)
    for offset in (1, 2):
        assert state.apply(clean(offset, event_id=""), SMALL) is UpdateResult.APPLIED
    assert len(state.recent) == 8


def test_as_of_is_the_newest_event_time_whatever_the_order() -> None:
    state = UserState()
    state.apply(clean(0)._replace(at=-5), SMALL)
    assert state.as_of == -5
    state.apply(clean(1, occurred_at=100), SMALL)
    state.apply(clean(2, occurred_at=50), SMALL)
    assert state.as_of == 100


def test_previous_are_distinct_others_newest_first() -> None:
    state = UserState()
    for offset, item in enumerate(["a", "b", "a", "c", "c"]):
        state.apply(clean(offset, item_id=item), UserPolicy())
    assert names(state.previous("c", 20)) == ["a", "b"]
    assert names(state.previous("x", 2)) == ["c", "a"]
    assert UserState().previous("x", 20) == []


def test_record_reads_back_as_the_same_state() -> None:
    state = state_after(6)
    assert UserState.decode(state.encode("u1")) == state


def test_record_of_another_writer_reads_as_the_same_state() -> None:
    """Arrays in plain blocks, as fastavro writes them."""
    state = state_after(6)
    plain = Codec.of("user_features").encode(record(state))
    assert plain != state.encode("u1")
    assert UserState.decode(plain) == state


def test_digest_counts_at_its_own_place_only() -> None:
    state = state_after(2)
    shifted = state.recent[3:11]
    assert not state._includes(shifted)
    assert state._includes(state.recent[:8])
    assert state._includes(state.recent[8:16])


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 200))
def test_junk_is_refused_and_never_hangs(junk: bytes, cut: int) -> None:
    good = state_after(6).encode("u1")
    for record_bytes in (junk, good[:10] + junk, good[:cut] + junk):
        try:
            state = UserState.decode(record_bytes)
        except DecodeError:
            continue
        assert UserState.decode(state.encode("u1")) == state
