"""Erasing users and items: a tombstone divides the former user from a new one, in any batches and after any crash."""

import random

import pytest

from eddy.contract.codec import Codec
from eddy.contract.erasure import BY_EDDY, ITEM, USER
from eddy.contract.message import Message
from eddy.contract.topics import ERASURES, ITEM_SIGNALS, ITEMS, USER_EVENTS, USER_FEATURES
from eddy.errors import PoisonError
from eddy.kafka.bus import Bus
from eddy.settings import Settings
from eddy_features.core.states import DictRecords
from eddy_features.shell.erasure_forwarder import tombstone_of
from tests.features.factories import START_MS, encoded, event, message, messages, stream
from tests.features.reference import ReferenceFeatures, item_updater, reference_features, user_updater

pytestmark = pytest.mark.unit

BUS = Bus(Settings(kafka_bootstrap_servers="k:9092"))


def tombstone(offset: int, key: bytes | None = b"u1", topic: str = USER_EVENTS, partition: int = 0) -> Message:
    return Message(topic, partition, offset, key, b"", START_MS, tombstone=True)


def log_with_erasures(seed: int, count: int = 600) -> list[Message]:
    """A log in which random users are erased at random moments, some twice."""
    rng, log = random.Random(seed), messages(stream(seed=seed, count=count, users=8, items=60))
    return [tombstone(each.offset, f"u{rng.randrange(8)}".encode()) if rng.random() < 0.04 else each for each in log]


def test_nothing_from_before_an_erasure_comes_back() -> None:
    log = [*messages([encoded(event(number)) for number in range(9)]), tombstone(9)]
    clicked = message(10, encoded(event(10)))
    after = reference_features({0: [*log, clicked]}).user_features()["u1"]
    alone = reference_features({0: [clicked]}).user_features()["u1"]
    assert after == alone
    assert reference_features({0: log}).user_features() == {}


def test_an_event_with_the_id_of_one_before_the_erasure_counts() -> None:
    first, again = encoded(event(1)), encoded(event(1))
    user = reference_features({0: [message(0, first), tombstone(1), message(2, again)]}).user_features()["u1"]
    assert user["counts"] == {"video/click": 1}


@pytest.mark.parametrize("seed", range(6))
def test_any_batches_and_any_crash_erase_the_same(seed: int) -> None:
    """Records are written in part before a crash, and the log is read again from an earlier offset."""
    rng, log = random.Random(seed), log_with_erasures(seed)
    expected = reference_features({0: log})
    crashing = ReferenceFeatures(capacity=rng.choice([1, 1000]))
    position = 0
    while position < len(log):
        end = position + rng.randrange(1, 40)
        batch = crashing.users.apply(0, log[position:end])
        crashing.process_signals(batch.signals)
        for key, value in batch.users[: rng.randrange(len(batch.users) + 1)]:
            crashing.users.states.store(0, key, value)
        crashing.users.states.clear()  # killed, then started again from the last commit
        position = max(0, position - rng.randrange(30))
        crashing.process(0, log[position:end])
        position = end
    assert crashing.user_records.records == expected.user_records.records


@pytest.mark.parametrize("key", [None, b"", b"\xff", b"x" * 257])
def test_a_tombstone_without_a_usable_key_is_refused(key: bytes | None) -> None:
    batch = user_updater(DictRecords()).apply(0, [tombstone(0, key)])
    assert [error.reason in ("empty_name", "wrong_key", "too_long") for _, error in batch.poison] == [True]
    assert batch.users == []


def test_an_empty_value_erases_nobody() -> None:
    """Only a record without any value is a tombstone: an empty one is a mistake of its publisher."""
    log = [*messages([encoded(event(1))]), message(1, (b"u1", b""))]
    assert reference_features({0: log}).user_features()["u1"]["counts"] == {"video/click": 1}


def test_an_erased_item_has_the_signals_after_the_erasure_only() -> None:
    records = DictRecords()
    items = item_updater(records)
    signals = [
        Message(ITEM_SIGNALS, 0, offset, key, value, 0)
        for offset, (key, value) in enumerate(
            user_updater(DictRecords()).apply(0, messages([encoded(event(1, item_id="m"))])).signals
        )
    ]
    for key, value in items.records(0, items.apply(0, signals).changes):
        items.states.store(0, key, value)
    assert list(records.records) == [(0, b"m")]
    ((key, value),) = items.records(0, items.apply(0, [tombstone(1, b"m", ITEM_SIGNALS)]).changes)
    items.states.store(0, key, value)
    assert (value, records.records) == (None, {})
    ((_, again),) = items.records(0, items.apply(0, signals).changes)
    assert again is not None
    assert Codec.of("item_features").decode(again)["counts"][0]["total"] == 1


def order(name: str, kind: str, offset: int | None = None, key: bytes | None = None) -> Message:
    value = Codec.for_topic(ERASURES).encode({"id": name, "kind": kind, "requested_at": 1, "erased_offset": offset})
    key = name.encode() if key is None else key
    return Message(ERASURES, BUS.partition_of_key(key), 0, key, value, 1)


def deleted(topic: str, name: str, *, by_eddy: bool = False) -> Message:
    partition = BUS.partition_of(name)
    return Message(topic, partition, 0, name.encode(), b"", 1, tombstone=True, by_eddy=by_eddy)


def test_each_source_of_an_erasure_leads_to_one_tombstone() -> None:
    assert tombstone_of(order("u7", USER), BUS) == (USER_EVENTS, "u7")
    assert tombstone_of(order("m7", ITEM), BUS) == (ITEMS, "m7")
    assert tombstone_of(deleted(USER_FEATURES, "u7"), BUS) == (USER_EVENTS, "u7")
    assert tombstone_of(deleted(ITEMS, "m7"), BUS) == (ITEM_SIGNALS, "m7")
    assert tombstone_of(deleted(ITEMS, "m7", by_eddy=True), BUS) == (ITEM_SIGNALS, "m7")


def test_what_is_erased_already_is_not_erased_again() -> None:
    """The gateway's notices, and the tombstones that this service wrote itself: a second tombstone would erase a new user."""
    assert tombstone_of(order("u7", USER, offset=12), BUS) is None
    assert tombstone_of(deleted(USER_FEATURES, "u7", by_eddy=True), BUS) is None
    assert BY_EDDY == "eddy"


@pytest.mark.parametrize("bad", [order("u7", "session"), order("", USER), order("u7", USER, key=b"u8")])
def test_an_unusable_order_is_refused(bad: Message) -> None:
    with pytest.raises(PoisonError):
        tombstone_of(bad, BUS)
