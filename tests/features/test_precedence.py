"""Which of two records of a key is newer."""

from eddy.contract.codec import Codec
from eddy_features.core.item_state import ItemState
from eddy_features.core.precedence import replaces_item, replaces_user
from eddy_features.core.user_state import UserState


def user(applied: int) -> bytes:
    return UserState(applied_offset=applied).encode("user " * 40)


def item(applied: dict[int, int]) -> bytes:
    return ItemState(applied=applied).encode("item")


def test_user_record_that_includes_fewer_events_does_not_replace() -> None:
    assert replaces_user(user(300), user(301))
    assert replaces_user(user(300), user(300))
    assert not replaces_user(user(301), user(300))
    assert replaces_user(None, user(-1))


def test_item_record_must_not_regress_in_any_partition() -> None:
    assert replaces_item(item({0: 10, 3: 2**40}), item({0: 10, 1: 0, 3: 2**40}))
    assert not replaces_item(item({0: 10, 3: 5}), item({0: 11, 3: 4}))
    assert not replaces_item(item({0: 10, 3: 5}), item({0: 11}))
    assert replaces_item(None, item({}))
    assert replaces_item(item({}), item({0: 1}))


def test_records_of_another_writer_compare_the_same() -> None:
    users, items = Codec.of("user_features"), Codec.of("item_features")
    assert not replaces_user(user(301), users.encode(users.decode(user(300))))
    assert not replaces_item(item({0: 10}), items.encode(items.decode(item({0: 9}))))


def test_bytes_other_than_a_record_never_replace() -> None:
    for junk in (b"", b"junk", user(5)[:11], b"\xc3\x01" + b"\xff" * 40):
        assert not replaces_user(user(1), junk)
        assert not replaces_user(None, junk)
        assert not replaces_item(None, junk)
