"""Splitting a log into batches, rereading it and crashing give the same states."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eddy.contract.codec import Codec, Record
from eddy.contract.trust import MIN_RATIO, OF_AGE_MS, OFFSET
from eddy_features.core.cleaning import Cleaner
from eddy_features.core.item_state import ItemPolicy, ItemRules, ItemState, Signal
from eddy_features.core.slates import ServedSlates
from eddy_features.core.states import DictRecords
from eddy_features.core.user_state import UserPolicy, UserState
from eddy_features.core.user_updater import RenumberedError, UserUpdater
from tests.features.factories import DAY_MS, START_MS, encoded, event, message, messages, slate, slates, stream
from tests.features.reference import SCENARIOS, ReferenceFeatures, item_updater, reference_features, user_updater

pytestmark = pytest.mark.slow

RECORDS = stream(seed=3, count=2000, users=12, items=300)
LOG, SERVED = messages(RECORDS), slates(RECORDS)
SMALL = ItemPolicy(covisited=40, slack=10)
EXPECTED = reference_features({0: LOG}, SMALL, SERVED)


def served(capacity: int) -> ReferenceFeatures:
    """A service that has read the slates of the stream."""
    reference = ReferenceFeatures(capacity=capacity, item_policy=SMALL)
    reference.serve(SERVED)
    return reference


def test_stream_covers_the_cases_that_matter() -> None:
    reasons = {reason for _, _, reason in EXPECTED.dead_letters}
    assert {"undecodable", "unknown_scenario", "unknown_action", "wrong_key"} <= reasons
    assert any(len(record["seen_items"]) > 14 * 100 for record in EXPECTED.user_features().values())
    assert any(len(record["covisited"]) == 40 for record in EXPECTED.item_features().values())
    assert any(row["shown"] > 0 for record in EXPECTED.item_features().values() for row in record["counts"])


def test_a_refund_counts_nowhere() -> None:
    """The state after a purchase and its refund is that after the purchase, but for the offset."""
    purchase = event(1, scenario="shop", action="purchase", value=50.0)
    refund = event(
        2, scenario="shop", action="purchase", item_id="m1", value=-50.0, occurred_at=purchase["occurred_at"]
    )
    with_refund = reference_features({0: messages([encoded(purchase), encoded(refund)])})
    without = reference_features({0: messages([encoded(purchase)])})
    assert with_refund.item_features() == without.item_features()
    (user, expected) = (states.user_features()["u1"] for states in (with_refund, without))
    assert (user["history"], user["counts"]) == (expected["history"], expected["counts"])
    assert user["applied_offset"] == 1


def test_a_low_rating_is_a_rating_and_no_interaction() -> None:
    """Where the scenario rejects few stars, they make an item neither popular nor co-visited; a mean of ratings includes them."""

    def rating(number: int, stars: float, scenario: str) -> bytes:
        return encoded(event(number, user_id=f"u{number}", item_id="m", scenario=scenario, action="rate", value=stars))

    def counts_of(stars: float, scenario: str) -> dict[str, float]:
        log = messages([rating(number, stars, scenario) for number in range(5)])
        (counts,) = reference_features({0: log}).item_features()["m"]["counts"]
        return {name: round(counts[name], 3) for name in ("acted", "total", "valued", "value_sum")}

    assert counts_of(1.0, "shop") == {"acted": 0, "total": 0, "valued": 5, "value_sum": 0}
    assert counts_of(2.0, "shop") == {"acted": 0, "total": 0, "valued": 5, "value_sum": 1.25}
    assert counts_of(3.0, "shop") | {"acted": 5} == {"acted": 5, "total": 5, "valued": 5, "value_sum": 2.5}
    assert counts_of(1.0, "video")["total"] == 5


def test_a_state_beyond_the_end_of_the_log_is_of_another_log() -> None:
    updater = user_updater(DictRecords(), 10)
    log = messages([encoded(event(number)) for number in range(10)])
    updater.apply(0, log, end=10)
    updater.apply(0, log[5:], end=10)  # read again after a crash
    with pytest.raises(RenumberedError, match="a user has the event at offset 9 of user-events, which ends at 3"):
        updater.apply(0, log[:3], end=3)


def test_a_state_of_another_topic_id_is_of_another_log() -> None:
    records = DictRecords()
    former, present = (
        UserUpdater(Cleaner(SCENARIOS), UserPolicy(), records, 10, log_id=each * 16) for each in (b"f", b"p")
    )
    log = messages([encoded(event(number)) for number in range(3)])
    for updater in (user_updater(records, 10), former, former):  # the first one does not know the id
        for key, value in updater.apply(0, log[:1] if updater is not former else log[1:2]).users:
            updater.states.store(0, key, value)
    with pytest.raises(RenumberedError, match="a user includes events of another topic user-events"):
        present.apply(0, log[2:], end=1000)
    record = records.read(0, b"u1")
    assert record is not None
    with pytest.raises(RenumberedError, match="restored or moved"):
        present.check_record(record)
    former.check_record(record)
    present.check_record(b"junk")


CUTS = st.lists(st.integers(1, len(LOG) - 1), max_size=12, unique=True).map(sorted)


@settings(max_examples=15, deadline=None)
@given(CUTS, st.sampled_from([1, 5, 1000]))
def test_any_split_into_batches_gives_the_same_states(cuts: list[int], capacity: int) -> None:
    split = served(capacity)
    for start, end in zip([0, *cuts], [*cuts, len(LOG)], strict=True):
        split.process(0, LOG[start:end])
    assert split.user_records.records == EXPECTED.user_records.records
    assert split.item_records.records == EXPECTED.item_records.records
    assert split.dead_letters == EXPECTED.dead_letters


@settings(max_examples=15, deadline=None)
@given(CUTS, st.data())
def test_rereading_from_any_earlier_offset_gives_the_same_states(cuts: list[int], data: st.DataObject) -> None:
    reread = served(5)
    done = 0
    for end in [*cuts, len(LOG)]:
        reread.process(0, LOG[data.draw(st.integers(0, done), label="start") : end])
        done = end
    assert reread.user_records.records == EXPECTED.user_records.records
    assert reread.item_records.records == EXPECTED.item_records.records


@settings(max_examples=15, deadline=None)
@given(CUTS, st.randoms(use_true_random=False))
def test_any_crash_between_writes_gives_the_same_states(cuts: list[int], rng: "object") -> None:
    """Signals are written before users: a crash leaves some signals, then some users, and the whole batch is read again."""
    crashed = served(5)
    for start, end in zip([0, *cuts], [*cuts, len(LOG)], strict=True):
        batch = crashed.users.apply(0, LOG[start:end])
        signals = rng.sample(batch.signals, rng.randint(0, len(batch.signals)))  # type: ignore[attr-defined]
        crashed.process_signals(signals)
        if len(signals) == len(batch.signals):
            for key, value in batch.users[: rng.randint(0, len(batch.users))]:  # type: ignore[attr-defined]
                crashed.users.states.store(0, key, value)
        crashed.users.states.clear()
        crashed.items.states.clear()
        crashed.process(0, LOG[start:end])
    assert crashed.user_records.records == EXPECTED.user_records.records
    assert crashed.item_records.records == EXPECTED.item_records.records


def test_one_write_per_user_and_item_in_a_batch() -> None:
    batch = user_updater(DictRecords()).apply(0, messages([encoded(event(number, item_id="m")) for number in range(9)]))
    assert len(batch.users) == len(batch.signals) == 1


UNBOUNDED = ItemPolicy(bounded=False)


def counts_of(*changes: dict[str, object], item: str = "m") -> Record:
    """The counts of an item after these events, which newcomers move as others do."""
    reference = ReferenceFeatures(item_policy=UNBOUNDED)
    reference.process(0, messages([encoded(event(number, **each)) for number, each in enumerate(changes)]))
    (row,) = reference.item_features()[item]["counts"]
    return row


def test_item_sums_the_explicit_ratings_of_its_users() -> None:
    row = counts_of(
        {"item_id": "m", "action": "rate", "value": 4.0},
        {"item_id": "m", "action": "rate", "value": 2.0, "user_id": "u2"},
        {"item_id": "m", "action": "like", "value": 5.0, "user_id": "u3"},
        {"item_id": "m", "action": "play", "value": 600.0},
        {"item_id": "m", "action": "rate", "value": None, "user_id": "u4"},
    )
    assert (row["total"], row["valued"], row["value_sum"]) == (4, 2, 1.0)


def test_the_last_rating_of_a_user_counts() -> None:
    once = {"item_id": "m", "action": "rate", "value": 1.0}
    row = counts_of(*[once] * 20, {**once, "value": 5.0})
    assert (row["total"], row["valued"], row["value_sum"]) == (1, 1, 1.0)
    row = counts_of({**once, "value": 5.0}, {**once, "occurred_at": START_MS - 1}, {**once, "user_id": "u2"})
    assert (row["total"], row["valued"], row["value_sum"]) == (2, 2, 1.0)


@pytest.mark.parametrize("between", [0, 1, 120], ids=["in a row", "in turns", "beyond the history"])
def test_one_user_counts_less_than_forty(between: int) -> None:
    bot = [
        {"item_id": item, "user_id": "bot"}
        for _ in range(300 if between < 2 else 30)
        for item in ("bots", *(f"x{number}" for number in range(between)))
    ]
    honest = [{"item_id": "m", "user_id": f"u{number}"} for number in range(40)]
    lone, many = counts_of(*bot, *honest, item="bots"), counts_of(*bot, *honest)
    for column in ("acted", "acted_fast", "clicked", "total"):
        assert lone[column] < many[column] / 4, column
    assert many["total"] == 40
    assert many["acted"] == pytest.approx(40, rel=0.01)


def shown_of(
    *changes: dict[str, object], slates: Sequence[tuple[bytes | None, bytes]] | None = None, item: str = "a"
) -> tuple[float, float]:
    """Impressions and clicks of an item in `video` after these events; by default r1 to r9 were served to u1, with the items a and b."""
    reference = ReferenceFeatures(item_policy=UNBOUNDED)
    reference.serve([slate("u1", f"r{number}", "ab") for number in range(1, 10)] if slates is None else slates)
    impression = {"action": "impression", "item_id": None, "scenario": "video", "occurred_at": START_MS}
    reference.process(0, messages([encoded(event(number, **impression | each)) for number, each in enumerate(changes)]))
    rows = {row["scenario"]: row for row in reference.item_features().get(item, {"counts": []})["counts"]}
    return (rows["video"]["shown"], rows["video"]["clicked"]) if "video" in rows else (0, 0)


def test_an_impression_of_a_slate_counts_for_its_items() -> None:
    assert shown_of({"request_id": "r1"}) == (1, 0)
    assert shown_of({"request_id": "r1"}, {"request_id": "r2"}, item="b") == (2, 0)
    assert shown_of({"request_id": "r1"}, item="c") == (0, 0)


def test_an_impression_of_an_item_counts_for_it_alone() -> None:
    assert shown_of({"request_id": "r1", "item_id": "a"}) == (1, 0)
    assert shown_of({"request_id": "r1", "item_id": "b"}) == (0, 0)


def test_each_item_of_a_slate_is_shown_once_however_it_is_reported() -> None:
    whole, one = {"request_id": "r1"}, {"request_id": "r1", "item_id": "a"}
    for reports in ([whole, whole], [whole, one], [one, whole], [one, one], [one, one, whole, one]):
        assert shown_of(*reports) == (1, 0)
        assert shown_of(*reports, item="b") == (int(whole in reports), 0)


@pytest.mark.parametrize(
    "reported", [{"request_id": "r99"}, {"request_id": "r1", "user_id": "u2"}, {"request_id": None, "item_id": "a"}]
)
def test_an_impression_without_a_slate_of_its_user_counts_nowhere(reported: dict[str, object]) -> None:
    assert shown_of(*[reported] * 5) == (0, 0)


def test_an_impression_of_an_item_outside_of_its_slate_counts_nowhere() -> None:
    assert shown_of({"request_id": "r1", "item_id": "c"}, item="c") == (0, 0)


def test_an_impression_counts_in_the_scenario_of_its_slate() -> None:
    assert shown_of({"request_id": "r1"}, slates=[slate("u1", "r1", "a", "shop")]) == (0, 0)
    assert shown_of({"request_id": "r1", "scenario": "shop"}) == (1, 0)


@pytest.mark.parametrize("by_item", [False, True], ids=["whole slates", "single items"])
def test_clicks_per_impression_differ_between_items(by_item: bool) -> None:
    """200 impressions with 6 clicks, and 6 with 6."""
    users = [f"u{number}" for number in range(200)]
    served = [slate(user, "r", ["often", *(["seldom"] if number < 6 else [])]) for number, user in enumerate(users)]
    reports = [
        {"user_id": user, "request_id": "r", "item_id": item if by_item else None}
        for number, user in enumerate(users)
        for item in ["often", *(["seldom"] if by_item and number < 6 else [])]
    ]
    clicks = [
        {"user_id": user, "action": "click", "item_id": item} for user in users[:6] for item in ("often", "seldom")
    ]
    assert shown_of(*reports, *clicks, slates=served, item="often") == (200, 6)
    assert shown_of(*reports, *clicks, slates=served, item="seldom") == (6, 6)


def test_long_slates_and_many_requests() -> None:
    items = [f"i{number}" for number in range(100)]
    served = [slate("u1", f"r{number}", items) for number in range(60)]
    reports = [{"request_id": f"r{number}"} for number in range(60)]
    assert shown_of(*reports, *reports[-50:], slates=served, item="i99") == (60, 0)


def test_slates_are_kept_by_time_and_number() -> None:
    kept = ServedSlates(keep_ms=1000, maximum=3)
    for number, at in enumerate([0, 500, 600, 700, 1650]):
        kept.add(message(number, slate("u1", f"r{number}", "ab"), topic="recommendations", at=at))
    kept.add(message(9, (b"u1", b"junk"), topic="recommendations"))
    kept.add(message(9, (b"u2", slate("u1", "r9", "ab")[1]), topic="recommendations"))
    assert [number for number in range(10) if kept.find("u1", f"r{number}")] == [3, 4]
    assert kept.find("u1", "r4") == ("video", ["a", "b"])


def test_repeats_add_little_to_co_visitations() -> None:
    reference = ReferenceFeatures(item_policy=UNBOUNDED)
    turns = [event(number, item_id="ab"[number % 2]) for number in range(200)]
    reference.process(0, messages([encoded(each) for each in turns]))
    record = reference.item_features()["b"]
    assert record["covisited"] == ["a"]
    assert record["transition_weights"][0] == pytest.approx(sum(1 / n for n in range(1, 101)), rel=0.02)


def test_signals_of_a_busy_item_with_long_ids_are_split_without_loss() -> None:
    records = [encoded(event(number, item_id=f"{number % 2}{'x' * 250}")) for number in range(40)]
    records += [encoded(event(number, item_id=f"{number % 30}{'y' * 250}")) for number in range(40, 3000)]
    batch = user_updater(DictRecords()).apply(0, messages(records))
    assert max(len(value) for _, value in batch.signals) < 300_000
    assert len(batch.signals) > len({key for key, _ in batch.signals}) == 32
    entries = [
        entry["offset"] for _, value in batch.signals for entry in Codec.of("item_signals").decode(value)["entries"]
    ]
    assert sorted(entries) == list(range(3000))


def test_undecodable_state_is_reset() -> None:
    records = DictRecords()
    records.write(0, b"u1", UserState(applied_offset=5).encode("u1") + b"more")
    batch = user_updater(records).apply(0, messages([encoded(event(0))]))
    assert UserState.decode(batch.users[0][1]).counts == {"video/click": 1}


def test_event_without_item_gives_no_signal_and_an_impression_has_no_previous_items() -> None:
    slates = ServedSlates()
    updater = user_updater(DictRecords(), slates=slates)
    slates.add(message(0, slate("u1", "r", ["m9"]), topic="recommendations"))
    records = [event(0), event(1, action="search", item_id=None), event(2, action="impression", request_id="r")]
    batch = updater.apply(3, messages([encoded({**records[2], "item_id": "m9"}), *map(encoded, records[:2])]))
    signals = {key.decode(): Codec.of("item_signals").decode(value) for key, value in batch.signals}
    assert signals.keys() == {"m0", "m9"}
    assert signals["m9"]["entries"][0]["previous"] == []
    assert signals["m9"]["source_partition"] == 3


def test_previous_items_are_those_before_the_event() -> None:
    batch = user_updater(DictRecords()).apply(0, messages([encoded(event(number)) for number in range(3)]))
    signals = {key.decode(): Codec.of("item_signals").decode(value) for key, value in batch.signals}
    assert [signals[f"m{number}"]["entries"][0]["previous"] for number in range(3)] == [[], ["m0"], ["m1", "m0"]]


def test_unusable_signals_are_refused_and_the_others_applied() -> None:
    good = user_updater(DictRecords()).apply(0, messages([encoded(event(1))])).signals[0][1]
    unknown = Codec.of("item_signals").encode(
        {**Codec.of("item_signals").decode(good), "entries": [_entry(scenario="nowhere")]}
    )
    too_long = Codec.of("item_signals").encode(
        {**Codec.of("item_signals").decode(good), "entries": [_entry(previous=["x"] * 1001)]}
    )
    non_finite = Codec.of("item_signals").encode(
        {**Codec.of("item_signals").decode(good), "entries": [_entry(value=float("nan"))]}
    )
    negative = Codec.of("item_signals").encode(
        {**Codec.of("item_signals").decode(good), "entries": [_entry(repeats=-2.0)]}
    )
    log = [
        (b"m1", b"junk"),
        (b"m2", good),
        (None, good),
        *((b"m1", value) for value in (unknown, too_long, non_finite, negative, good)),
    ]
    batch = item_updater(DictRecords()).apply(0, [message(offset, record) for offset, record in enumerate(log)])
    assert [error.reason for _, error in batch.poison] == [
        "undecodable",
        "wrong_key",
        "wrong_key",
        "unknown_scenario",
        "too_long",
        "bad_features",
        "bad_features",
    ]
    assert list(batch.changes) == [b"m1"]


def _entry(**changes: object) -> dict[str, object]:
    entry = {"offset": 1, "at": 1, "scenario": "video", "action": "click", "previous": [], "value": None}
    return {**entry, "repeats": 0.0, "former_value": None, "known": 1.0, "positive": True, "young": False, **changes}


def test_usable_entries_count_despite_an_unusable_one() -> None:
    good = user_updater(DictRecords()).apply(0, messages([encoded(event(1))])).signals[0][1]
    record = Codec.of("item_signals").decode(good)
    mixed = Codec.of("item_signals").encode({**record, "entries": [_entry(scenario="nowhere"), _entry()]})
    items = item_updater(DictRecords())
    batch = items.apply(0, [message(0, (record["item_id"].encode(), mixed))])
    assert [error.reason for _, error in batch.poison] == ["unknown_scenario"]
    ((_, record_bytes),) = items.records(0, batch.changes)
    assert [row["total"] for row in Codec.of("item_features").decode(record_bytes)["counts"]] == [1]


LATER = START_MS + OF_AGE_MS + 3_600_000


VETERAN = {"item_id": "z", "user_id": "veteran", "occurred_at": START_MS - OF_AGE_MS}


def known_at_the_last(*changes: dict[str, object], log: Sequence[dict[str, object]] = (VETERAN,)) -> float:
    """How well the user of the last of these events, in a `log` that has other users, was known before it."""
    records = [encoded(event(number, **each)) for number, each in enumerate([*log, *changes])]
    log = [message(offset, each, at=LATER) for offset, each in enumerate(records)]
    signals = user_updater(DictRecords()).apply(0, log).signals
    entries = [each for _, value in signals for each in Codec.of("item_signals").decode(value)["entries"]]
    return max(entries, key=lambda entry: entry["offset"])["known"]


@pytest.mark.parametrize(
    ("before", "at", "known"),
    [
        (0, LATER, 0.0),
        (10, LATER, 0.0),
        (15, LATER, 0.5),
        (20, LATER, 1.0),
        (60, LATER, 1.0),
        (60, LATER - DAY_MS, 0.0),
    ],
)
def test_a_user_is_known_by_items_and_age(before: int, at: int, known: float) -> None:
    earlier = ({"item_id": f"x{number}"} for number in range(before))
    assert known_at_the_last(*earlier, {"item_id": "m", "occurred_at": at}) == known


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(-9, 9)), min_size=1, max_size=60), st.integers(0, 59))
def test_users_are_known_after_a_restart_as_without(specs: list[tuple[int, int]], restart: int) -> None:
    """The age of the log is not part of a record of its own: it follows from all users."""
    changes = [
        {"item_id": f"x{number}", "user_id": f"u{user}", "occurred_at": START_MS + day * DAY_MS}
        for number, (user, day) in enumerate(specs)
    ]
    records = [encoded(event(number, **each)) for number, each in enumerate(changes)]
    log, stored = [message(offset, each, at=LATER) for offset, each in enumerate(records)], DictRecords()
    known = {}
    for part in (log[:restart], log[restart:]):
        updater = user_updater(stored)
        updater.take_over(0, stored.records.values())
        batch = updater.apply(0, part)
        known |= known_by_offset(batch.signals)
        for key, record in batch.users:
            stored.write(0, key, record)
    assert known == known_by_offset(user_updater(DictRecords()).apply(0, log).signals)


def known_by_offset(signals: list[tuple[bytes, bytes]]) -> dict[int, tuple[float, bool]]:
    entries = [each for _, value in signals for each in Codec.of("item_signals").decode(value)["entries"]]
    return {entry["offset"]: (entry["known"], entry["young"]) for entry in entries}


def test_items_alone_make_a_user_known_where_nobody_can_be_of_age() -> None:
    claimed = [{"item_id": f"x{number}", "occurred_at": LATER} for number in range(60)]
    assert known_at_the_last(*claimed, log=()) == 1.0
    assert known_at_the_last(*claimed) == 0.0


def test_repeats_make_nobody_known() -> None:
    assert known_at_the_last(*({"item_id": "x"} for _ in range(100)), {"item_id": "m", "occurred_at": LATER}) == 0.0


def test_a_history_that_is_claimed_at_arrival_makes_nobody_known() -> None:
    """The age of a user counts by the clock of the log, which other users have moved."""
    honest = {"item_id": "y", "user_id": "honest", "occurred_at": LATER}
    claimed = [{"item_id": f"x{number}", "occurred_at": LATER - 90 * DAY_MS + number} for number in range(60)]
    now = {"item_id": "m", "occurred_at": LATER}
    assert known_at_the_last(*claimed, now) == 1.0
    assert known_at_the_last(*claimed, now, log=(VETERAN, honest)) == 0.0


def attacked(bots: int, *, known: int = 0) -> Record:
    """The state of an item after clicks by known users, then by bots that come from another item, within an hour."""
    state, rules = ItemState(), ItemRules(SCENARIOS, ItemPolicy())
    for number in range(known + bots):
        at, trust = LATER + number, 1.0 if number < known else 0.0
        state.apply(0, Signal(number, at, "video", "click", ["a"], 1.0, known=trust), rules)
    return Codec.of("item_features").decode(state.encode("m"))


@pytest.mark.parametrize(("known", "counted"), [(0, 1), (10, 50)])
def test_thousands_of_newcomers_count_in_proportion_to_known_users(known: int, counted: int) -> None:
    """Clicks, users, ratings and co-visitations of an item alike."""
    record = attacked(5000, known=known)
    (row,) = record["counts"]
    figures = (
        *(row[name] for name in ("acted", "clicked", "acted_fast", "total", "valued")),
        *record["covisit_weights"],
    )
    assert all(counted <= figure <= counted + 30 for figure in figures), figures


def test_newcomers_keep_the_order_among_themselves() -> None:
    """In a shop where nobody returns, popular items are still those with more users."""
    (few,), (some,), (many,) = (attacked(bots)["counts"] for bots in (10, 100, 1000))
    assert few["acted"] < some["acted"] < many["acted"]


def test_newcomers_count_again_in_the_next_hour_but_not_for_ever() -> None:
    state, rules = ItemState(), ItemRules(SCENARIOS, ItemPolicy())
    sums = []
    for number in range(50 * 24):
        at = LATER + number // 50 * 3_600_000
        state.apply(0, Signal(number, at, "video", "click", [], known=0.0), rules)
        sums.append(state.counts["video"].interactions)
    assert sums[49] < sums[99] - 0.5
    assert sums[-1] < MIN_RATIO * OFFSET + 5
