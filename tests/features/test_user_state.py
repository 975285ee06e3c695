"""User states: history, counts, duplicates, and their records."""

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
    return [name[1:].decode() for name in packed]


def test_history_keeps_the_newest_items_and_hashes_the_others() -> None:
    state = state_after(6)
    history = record(state)["history"]
    assert history["item_ids"] == ["m3", "m4", "m5"]
    assert history["actions"] == ["click"] * 3
    assert history["scenarios"] == ["video"] * 3
    assert history["values"] == pytest.approx([0.725] * 3)
    assert history["occurred_at"] == [START_MS + second * 1000 for second in (3, 4, 5)]
    assert record(state)["offsets"] == [3, 4, 5]
    assert np.frombuffer(record(state)["seen"], "<u4").tolist() == [zlib.crc32(b"m1"), zlib.crc32(b"m2")]


def test_only_positive_actions_enter_the_history_and_all_are_counted() -> None:
    state = state_after(1)
    for offset, action in enumerate(["skip", "search", "impression", "rate"], 1):
        state.apply(clean(offset, action=action), SMALL)
    assert record(state)["history"]["actions"] == ["click", "rate"]
    assert state.counts == dict.fromkeys(
        ["video/click", "video/skip", "video/search", "video/impression", "video/rate"], 1
    )


def test_history_marks_the_interactions_that_have_a_value() -> None:
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


def test_history_of_version_1_is_continued() -> None:
    """Version 1 has no `valued` column: only later interactions have an entry in it."""
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


def test_applied_event_changes_nothing() -> None:
    state = state_after(3)
    before = state.encode("u1")
    assert state.apply(clean(2), SMALL) is UpdateResult.ALREADY_APPLIED
    assert state.encode("u1") == before


def test_duplicate_advances_the_offset_only() -> None:
    state = state_after(2)
    before = record(state)
    assert state.apply(clean(9, event_id="e1"), SMALL) is UpdateResult.DUPLICATE
    assert record(state) == {**before, "applied_offset": 9}


def test_duplicates_are_detected_among_the_last_events_only() -> None:
    state = state_after(5)
    assert state.apply(clean(9, event_id="e1"), SMALL) is UpdateResult.DUPLICATE
    assert state.apply(clean(10, event_id="e0"), SMALL) is UpdateResult.APPLIED


def test_events_without_an_id_are_never_duplicates() -> None:
    state = state_after(1)
    for offset in (1, 2):
        assert state.apply(clean(offset, event_id=""), SMALL) is UpdateResult.APPLIED
    assert len(state.recent) == 8


def test_as_of_is_the_newest_event_time_whatever_the_order() -> None:
    state = UserState()
    state.apply(clean(0)._replace(occurred_at=-5), SMALL)
    assert state.as_of == -5
    state.apply(clean(1)._replace(occurred_at=100), SMALL)
    state.apply(clean(2)._replace(occurred_at=50), SMALL)
    assert state.as_of == 100


def test_previous_items_are_distinct_and_newest_first() -> None:
    state = UserState()
    for offset, item in enumerate(["a", "b", "a", "c", "c"]):
        state.apply(clean(offset, item_id=item), UserPolicy())
    assert names(state.previous_items("c", 20)) == ["a", "b"]
    assert names(state.previous_items("x", 2)) == ["c", "a"]
    assert UserState().previous_items("x", 20) == []


def test_record_decodes_to_the_same_state() -> None:
    state = state_after(6)
    assert UserState.decode(state.encode("u1")) == state


def test_record_of_another_encoder_decodes_to_the_same_state() -> None:
    """fastavro writes arrays in plain blocks."""
    state = state_after(6)
    plain = Codec.of("user_features").encode(record(state))
    assert plain != state.encode("u1")
    assert UserState.decode(plain) == state


def test_digest_matches_at_its_alignment_only() -> None:
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
