"""States of users and items expire by event time, and their records are deleted: memory and compacted topics stay as large as they are."""

from dataclasses import replace

import pytest

from eddy.contract.codec import Codec
from eddy.contract.expiry import DAY_MS
from eddy_features.core.expiry import Expiry
from eddy_features.core.precedence import item_as_of, user_as_of
from tests.features.factories import START_MS, encoded, event, message
from tests.features.reference import ReferenceFeatures

pytestmark = pytest.mark.slow

DAYS = 3
USERS, ITEMS = 100, 13  # new ones a day


def test_a_month_of_churn_leaves_the_states_as_they_were_after_a_week() -> None:
    features = ReferenceFeatures()
    expiries = {
        "users": (features.users.states, features.user_records, Expiry(DAYS, user_as_of), user_as_of),
        "items": (features.items.states, features.item_records, Expiry(DAYS, item_as_of), item_as_of),
    }
    sizes, offset = [], 0
    for day in range(30):
        for start in range(0, 300, 25):
            log = []
            for number in range(start, start + 25):
                at = START_MS + day * DAY_MS + number
                record = event(
                    number, user_id=f"u{day}-{number % USERS}", item_id=f"m{day}-{number % ITEMS}", occurred_at=at
                )
                log.append(message(offset, encoded({**record, "event_id": ""}), at=at))
                offset += 1
            features.process(0, log)
            for states, store, expiry, as_of in expiries.values():
                records = {key: value for (_, key), value in store.records.items()}
                for key in expiry.expired(0, [at] * len(log), records):
                    assert as_of(records[key]) < at - DAYS * DAY_MS
                    states.drop(0, key)
                    states.store(0, key, None)
        sizes.append((len(features.user_records.records), len(features.item_records.records)))
    assert max(users for users, _ in sizes) <= USERS * (DAYS + 2)
    assert max(items for _, items in sizes) <= ITEMS * (DAYS + 2)
    assert min(sizes[-1]) > 0


def test_what_is_erased_leaves_no_state_in_memory() -> None:
    features = ReferenceFeatures()
    for number in range(50):
        seen = message(2 * number, encoded({**event(number, user_id=f"u{number}"), "event_id": ""}))
        features.process(0, [seen])
        assert len(features.users.states._decoded) == 1
        features.process(0, [replace(seen, offset=2 * number + 1, value=b"", tombstone=True)])
        assert not features.users.states._decoded
        assert not features.user_records.records
    features.users.states.take(0, b"somebody")  # by an event that is refused later
    features.process(0, [replace(seen, offset=100, value=b"junk")])
    assert not features.users.states._decoded


def test_times_are_read_from_the_records_themselves() -> None:
    features = ReferenceFeatures()
    features.process(0, [message(0, encoded(event(7)))])
    ((_, user),) = features.user_records.records.items()
    ((_, item),) = features.item_records.records.items()
    assert user_as_of(user) == Codec.of("user_features").decode(user)["as_of"]
    assert item_as_of(item) == Codec.of("item_features").decode(item)["as_of"]
    assert min(user_as_of(b"junk"), item_as_of(b"")) > 10**18  # never expires
