"""User states: history, counts, duplicates, and their records."""

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eddy.contract.avro.values import pack_name
from eddy.contract.codec import Codec, load_schema
from eddy.contract.digests import REJECTED_ENTRY, SEEN_ENTRY, digest_of
from eddy.contract.trust import LogAge
from eddy.errors import DecodeError
from eddy.paths import SCHEMAS
from eddy_features.core.cleaning import Cleaner, CleanEvent
from eddy_features.core.item_tables import REPEAT_HALF_LIFE_SEC
from eddy_features.core.user_state import Update, UpdateResult, UserPolicy, UserState
from tests.features.factories import START_MS, encoded, event, message
from tests.features.reference import SCENARIOS

CLEAN = Cleaner(SCENARIOS)
SMALL = UserPolicy(interactions=3, seen=5, recent_events=4, previous=2)


def clean(offset: int, **changes: object) -> CleanEvent:
    return CLEAN(message(offset, encoded(event(offset, **changes))))


def state_after(count: int, policy: UserPolicy = SMALL) -> UserState:
    state = UserState()
    for offset in range(count):
        assert state.apply(clean(offset), policy, LogAge()).result is UpdateResult.APPLIED
    return state


def record(state: UserState) -> dict[str, Any]:
    return Codec.of("user_features").decode(state.encode("u1"))


def names(packed: tuple[bytes, ...]) -> list[str]:
    return [name[1:].decode() for name in packed]


def seen(state: UserState) -> list[bytes]:
    """The digests of the items that the user interacted with, in the order of the record."""
    return [digest for digest, _, _ in SEEN_ENTRY.iter_unpack(record(state)["seen_items"])]


def at(second: float, item: str, **changes: object) -> dict[str, Any]:
    """An event on `item` after `second` seconds."""
    return {"occurred_at": START_MS + int(second * 1000), "item_id": item, **changes}


def after(*events: dict[str, Any], policy: UserPolicy = UserPolicy()) -> UserState:  # noqa: B008  # frozen
    """The state after these events in this order of arrival."""
    state = UserState()
    for offset, changes in enumerate(events):
        state.apply(clean(offset, **changes), policy, LogAge())
    return state


def last_update(*events: dict[str, Any]) -> Update:
    """The effect of the last event."""
    state = after(*events[:-1])
    return state.apply(clean(len(events), **events[-1]), UserPolicy(), LogAge())


def items_of(state: UserState) -> list[str]:
    items: list[str] = record(state)["history"]["item_ids"]
    return items


def test_history_keeps_the_newest_items_and_digests_of_the_others() -> None:
    state = state_after(6)
    history = record(state)["history"]
    assert history["item_ids"] == ["m3", "m4", "m5"]
    assert history["actions"] == ["click"] * 3
    assert history["scenarios"] == ["video"] * 3
    assert history["values"] == pytest.approx([0.725] * 3)
    assert history["occurred_at"] == [START_MS + second * 1000 for second in (3, 4, 5)]
    assert record(state)["offsets"] == [3, 4, 5]
    assert seen(state) == [digest_of(f"m{number}") for number in range(1, 6)]
    assert record(state)["seen"] == b""


def test_only_positive_actions_enter_the_history_and_all_are_counted() -> None:
    state = state_after(1)
    for offset, action in enumerate(["skip", "search", "impression", "rate"], 1):
        state.apply(clean(offset, action=action), SMALL, LogAge())
    assert record(state)["history"]["actions"] == ["click", "rate"]
    assert state.counts == dict.fromkeys(
        ["video/click", "video/skip", "video/search", "video/impression", "video/rate"], 1
    )


def test_history_marks_the_interactions_that_have_a_value() -> None:
    default = SCENARIOS["video"].actions["click"].value
    assert default is not None
    state = UserState()
    for offset, value in enumerate([4.0, None, default.default]):
        state.apply(clean(offset, value=value), SMALL, LogAge())
    history = record(state)["history"]
    assert history["values"][1] == history["values"][2]
    assert history["valued"] == [True, False, True]
    state.apply(clean(3), SMALL, LogAge())
    assert record(state)["history"]["valued"] == [False, True, False]


def former(state: UserState, version: int, **changes: Any) -> UserState:
    """The state decoded from its record in a former version."""
    old = {**record(state), **changes}
    if version == 1:
        del old["history"]["valued"]
    if version < 3:
        del old["seen_items"], old["ratings"]
    if version < 4:
        del old["rejected_items"]
    if version < 5:
        del old["shown"]
    if version < 6:
        del old["log_id"]
    if version < 7:
        del old["age_start"]
    schema = load_schema(SCHEMAS / "versions" / f"user_features.{version}.avsc")
    return UserState.decode(Codec("user_features", schema, []).encode(old))


def test_history_of_version_1_is_continued() -> None:
    """Version 1 has no `valued` column: only later interactions have an entry in it."""
    state = former(state_after(2), 1)
    assert record(state)["history"]["valued"] == []
    for offset, valued in enumerate([[True], [True, True], [True] * 3, [True] * 3], 2):
        state.apply(clean(offset, value=5.0), SMALL, LogAge())
        assert record(state)["history"]["valued"] == valued
        state = UserState.decode(state.encode("u1"))


def test_late_interaction_in_a_history_of_version_1() -> None:
    state = former(after(at(10, "a"), at(20, "b"), at(30, "c")), 1)
    state.apply(clean(4, **at(40, "d", value=5.0)), UserPolicy(), LogAge())
    state.apply(clean(5, **at(15, "late", value=5.0)), UserPolicy(), LogAge())
    assert items_of(state) == ["a", "late", "b", "c", "d"]
    assert record(state)["history"]["valued"] == [True]


def test_history_of_version_2_is_put_in_event_time_and_its_hashes_are_kept() -> None:
    state = after(at(10, "a"), at(20, "b"), at(30, "c"))
    old = record(state)["history"]
    arrived = {name: [column[2], column[0], column[1]] for name, column in old.items()}
    continued = former(state, 2, history=arrived, offsets=[2, 0, 1], seen=b"1234")
    assert record(continued)["history"] == old
    assert record(continued)["offsets"] == [0, 1, 2]
    assert record(continued)["seen"] == b"1234"
    assert set(seen(continued)) == {digest_of(item) for item in "abc"}
    continued.apply(clean(9, **at(40, "d")), UserPolicy(), LogAge())
    assert record(continued)["seen"] == b"1234"
    assert items_of(continued) == ["a", "b", "c", "d"]


def test_late_events_are_inserted_at_their_time() -> None:
    today = [at(second, f"today-{second}") for second in range(3)]
    days_ago = [at(second - 86_400 * 3, f"ago-{second}") for second in range(3)]
    state = after(*today, *days_ago)
    assert items_of(state) == ["ago-0", "ago-1", "ago-2", "today-0", "today-1", "today-2"]
    assert record(state)["offsets"] == [3, 4, 5, 0, 1, 2]
    assert last_update(*today, *days_ago).previous == tuple(map(pack_name, ("ago-1", "ago-0")))
    assert names(last_update(*today, *days_ago, at(10**4, "next")).previous)[0] == "today-2"


def test_back_fill_of_old_events_displaces_nothing_recent() -> None:
    policy = UserPolicy(interactions=10, seen=20)
    recent = [at(10**4 + second, f"recent-{second}") for second in range(8)]
    state = after(*recent, *[at(second, f"old-{second}") for second in range(150)], policy=policy)
    assert items_of(state) == ["old-148", "old-149", *(f"recent-{second}" for second in range(8))]
    assert {digest_of(f"recent-{second}") for second in range(8)} <= set(seen(state))
    assert len(seen(state)) == 20


def test_ties_are_in_order_of_arrival() -> None:
    assert items_of(after(at(1, "b"), at(1, "a"), at(0, "z"), at(1, "c"))) == ["z", "b", "a", "c"]


@settings(deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=30, unique=True), st.randoms(use_true_random=False))
def test_any_order_of_arrival_gives_the_same_history(seconds: list[int], rng: random.Random) -> None:
    """The offsets differ, as they are those of the arrival."""
    policy = UserPolicy(interactions=10)
    events = [at(second, f"m{second}", value=second % 5 + 1) for second in sorted(seconds)]
    expected = after(*events, policy=policy)
    rng.shuffle(events)
    arrived = after(*events, policy=policy)
    assert record(arrived)["history"] == record(expected)["history"]
    assert sorted(seen(arrived)) == sorted(seen(expected))
    assert (arrived.as_of, arrived.last_at) == (expected.as_of, expected.last_at)


def test_a_run_of_one_item_is_one_interaction() -> None:
    plays = [at(30 * number, "film", action="play", value=30.0 * number) for number in range(100)]
    state = after(at(-60, "before"), *plays, at(4000, "after"))
    history = record(state)["history"]
    assert history["item_ids"] == ["before", "film", "after"]
    assert history["occurred_at"][1] == START_MS + 99 * 30_000
    assert history["values"][1] == pytest.approx(99 * 30 / 7200)
    assert seen(state) == [digest_of(item) for item in ("before", "film", "after")]
    assert last_update(at(-60, "before"), *plays).previous == ()


def test_a_run_has_one_interaction_for_each_action() -> None:
    actions = ["click", "play", "like", "play", "play", "click"]
    state = after(*[at(number, "film", action=action) for number, action in enumerate(actions)])
    history = record(state)["history"]
    assert history["actions"] == ["like", "play", "click"]
    assert history["occurred_at"] == [START_MS + second * 1000 for second in (2, 4, 5)]


def test_items_in_turns_are_no_run() -> None:
    assert items_of(after(at(1, "a"), at(2, "b"), at(3, "a"), at(4, "b"))) == ["a", "b", "a", "b"]


def test_late_event_of_a_run_changes_nothing_of_it() -> None:
    state = after(at(10, "a"), at(60, "film", value=5.0), at(30, "film", value=1.0), at(5, "first"))
    assert items_of(state) == ["first", "a", "film"]
    assert record(state)["history"]["values"][2] == 1.0
    assert record(state)["history"]["occurred_at"][2] == START_MS + 60_000


def test_replays_of_one_item_do_not_fill_the_seen_items() -> None:
    policy = UserPolicy(interactions=10, seen=150)
    known = [at(number, f"m{number}") for number in range(150)]
    state = after(*known, *[at(1000 + number, "m149", action="play") for number in range(430)], policy=policy)
    assert set(seen(state)) == {digest_of(f"m{number}") for number in range(150)}


def test_repeats_count_the_earlier_interactions_with_the_item_by_decay() -> None:
    month = REPEAT_HALF_LIFE_SEC
    assert last_update(at(0, "a")).repeats == 0
    assert last_update(at(0, "a"), at(1, "b"), at(2, "a"), at(3, "a", action="play")).repeats == pytest.approx(2, 1e-3)
    assert last_update(at(-month, "a"), at(0, "a")).repeats == pytest.approx(0.5, 1e-3)
    assert last_update(at(-50 * month, "a"), at(0, "a")).repeats > 0
    assert last_update(at(0, "a", action="skip"), at(1, "a")).repeats == 0


def test_repeats_are_known_of_items_that_left_the_history() -> None:
    others = [at(number, f"m{number}") for number in range(1, 120)]
    assert last_update(at(0, "a"), *others, at(200, "a")).repeats == pytest.approx(1, 1e-3)


def test_a_rating_replaces_the_former_one_of_its_item_and_scenario() -> None:
    rate = {"action": "rate"}
    update = last_update(at(0, "a", value=1.0, **rate), at(1, "a", value=5.0, **rate))
    assert (update.former_value, update.value) == (0.0, 1.0)
    others = [at(number, f"m{number}") for number in range(1, 120)]
    update = last_update(at(0, "a", value=3.0, **rate), *others, at(200, "a", value=5.0, action="click"))
    assert (update.former_value, update.value) == (0.5, 1.0)
    other_scenario = {"scenario": "shop", "action": "rate"}
    assert last_update(at(0, "a", value=1.0, **rate), at(1, "a", value=5.0, **other_scenario)).former_value is None
    assert last_update(at(0, "a", value=1.0, **rate), at(1, "b", value=5.0, **rate)).former_value is None


def test_a_late_rating_is_not_the_last_one() -> None:
    rate = {"action": "rate"}
    ratings = [at(10, "a", value=5.0, **rate), at(20, "a", action="click"), at(5, "a", value=1.0, **rate)]
    assert last_update(*ratings).value is None
    assert last_update(*ratings, at(15, "a", value=2.0, **rate))[3:5] == (0.25, 1.0)


def test_ratings_are_bounded_and_the_oldest_is_dropped() -> None:
    policy = UserPolicy(ratings=3)
    state = after(*[at(number, f"m{number}", action="rate", value=2.0) for number in (5, 1, 9, 7)], policy=policy)
    rated = state.apply(clean(9, **at(20, "m1", action="rate", value=5.0)), policy, LogAge())
    assert rated.former_value is None
    rated = state.apply(clean(10, **at(20, "m9", action="rate", value=5.0)), policy, LogAge())
    assert rated.former_value == 0.25


def test_applied_event_changes_nothing() -> None:
    state = state_after(3)
    before = state.encode("u1")
    assert state.apply(clean(2), SMALL, LogAge()).result is UpdateResult.ALREADY_APPLIED
    assert state.encode("u1") == before


def test_duplicate_advances_the_offset_only() -> None:
    state = state_after(2)
    before = record(state)
    assert state.apply(clean(9, event_id="e1"), SMALL, LogAge()).result is UpdateResult.DUPLICATE
    assert record(state) == {**before, "applied_offset": 9}


def test_duplicates_are_detected_among_the_last_events_only() -> None:
    state = state_after(5)
    assert state.apply(clean(9, event_id="e1"), SMALL, LogAge()).result is UpdateResult.DUPLICATE
    assert state.apply(clean(10, event_id="e0"), SMALL, LogAge()).result is UpdateResult.APPLIED


def test_events_without_an_id_are_never_duplicates() -> None:
    state = state_after(1)
    for offset in (1, 2):
        assert state.apply(clean(offset, event_id=""), SMALL, LogAge()).result is UpdateResult.APPLIED
    assert len(state.recent) == 8


def test_as_of_is_the_newest_event_time_whatever_the_order() -> None:
    state = UserState()
    state.apply(clean(0)._replace(occurred_at=-5), SMALL, LogAge())
    assert state.as_of == -5
    state.apply(clean(1)._replace(occurred_at=100), SMALL, LogAge())
    state.apply(clean(2)._replace(occurred_at=50), SMALL, LogAge())
    assert state.as_of == 100


def test_previous_items_are_distinct_and_newest_first() -> None:
    events = [at(number, item) for number, item in enumerate("abac")]
    assert names(last_update(*events, at(9, "b")).previous) == ["c", "a"]
    assert names(last_update(*events, at(9, "x")).previous) == ["c", "a", "b"]
    assert last_update(at(9, "x")).previous == ()
    state = after(*events)
    assert names(state.apply(clean(9, **at(9, "x")), SMALL, LogAge()).previous) == ["c", "a"]


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


def rejected(state: UserState) -> dict[bytes, int]:
    """The rejected items by digest, with the seconds of their rejections."""
    return {
        digest: (time - START_MS) // 1000
        for digest, time in REJECTED_ENTRY.iter_unpack(record(state)["rejected_items"])
    }


def skip(second: float, item: str) -> dict[str, Any]:
    return at(second, item, action="skip", value=None)


def test_an_item_is_rejected_until_an_interaction_after_it_by_event_time() -> None:
    assert rejected(after(skip(1, "a"), skip(2, "b"))) == {digest_of("a"): 1, digest_of("b"): 2}
    assert rejected(after(skip(1, "a"), at(2, "a"))) == {}
    assert rejected(after(at(1, "a"), skip(2, "a"))) == {digest_of("a"): 2}
    assert rejected(after(at(2, "a"), skip(1, "a"))) == {}  # the skip is late
    assert rejected(after(skip(2, "a"), at(1, "a"))) == {digest_of("a"): 2}  # the click is late
    assert rejected(after(skip(5, "a"), skip(3, "a"))) == {digest_of("a"): 5}
    assert rejected(after(skip(1, "a"), at(2, "a"), skip(3, "a"))) == {digest_of("a"): 3}


def test_a_rejection_is_no_part_of_the_history() -> None:
    state = after(at(1, "a"), skip(2, "b"), at(3, "c"))
    assert items_of(state) == ["a", "c"]
    assert digest_of("b") not in seen(state)
    assert last_update(at(1, "a"), skip(2, "b"), at(3, "c")).previous == (pack_name("a"),)


def test_low_ratings_reject_where_the_scenario_says_so() -> None:
    def rate(second: float, stars: float, scenario: str) -> dict[str, Any]:
        return at(second, "a", action="rate", value=stars, scenario=scenario)

    assert rejected(after(rate(1, 2, "shop"))) == {digest_of("a"): 1}
    assert items_of(after(rate(1, 2, "shop"))) == []
    assert items_of(after(rate(1, 3, "shop"))) == ["a"]
    assert rejected(after(rate(1, 3, "shop"))) == {}
    assert rejected(after(rate(1, 2, "shop"), rate(2, 5, "shop"))) == {}
    assert rejected(after(rate(1, 5, "shop"), rate(2, 1, "shop"))) == {digest_of("a"): 2}
    assert rejected(after(rate(1, 1, "video"))) == {}


def test_the_oldest_rejections_are_dropped() -> None:
    few = UserPolicy(rejected=2)
    assert rejected(after(skip(5, "a"), skip(1, "b"), skip(3, "c"), policy=few)) == {
        digest_of("a"): 5,
        digest_of("c"): 3,
    }


def test_a_record_without_rejections_is_continued() -> None:
    state = after(at(1, "a"), at(2, "b", action="rate", value=5.0))
    assert former(state, 3) == replace(state, age_start=0), "of age, as all who were there before age counted"


def test_rejections_survive_the_record() -> None:
    state = after(skip(1, "a"), at(2, "b"))
    assert UserState.decode(state.encode("u")) == state
    damaged = record(state) | {"rejected_items": b"123"}
    with pytest.raises(DecodeError, match="rejected_items has 3 bytes"):
        UserState.decode(Codec.of("user_features").encode(damaged))
