"""Packed histories as matrices and records, and the items that a user has seen."""

import numpy as np
import pytest

from eddy.contract.codec import Codec
from eddy.contract.model import ACTIONS, HISTORY
from eddy.errors import PoisonError
from eddy_scorer.core.state.catalogue import Catalogue
from eddy_scorer.core.state.users import UNKNOWN_USER, UserStore
from tests.scorer.factories import NOW, hashes, history, scenarios, seen_items, user_features


def _users() -> tuple[UserStore, Catalogue]:
    catalogue = Catalogue(scenarios())
    return UserStore(catalogue, scenarios()), catalogue


def _names(catalogue: Catalogue, rows: "np.ndarray[tuple[int], np.dtype[np.int32]]") -> set[str]:
    return {catalogue.ids[row] for row in rows}


def test_histories_are_padded_on_the_left() -> None:
    users, catalogue = _users()
    users.apply(user_features("u", ["a", "b"]), 0)
    histories = users.gather([users.get("u"), UNKNOWN_USER], np.array([NOW, NOW]))
    assert histories.rows[0, -2:].tolist() == [catalogue.find("a"), catalogue.find("b")]
    assert histories.rows[0, :-2].sum() == histories.rows[1].sum() == 0
    assert histories.actions[0, -1] == 1 + ACTIONS.index("like")
    assert histories.values[0, -2:].tolist() == [1.0, 1.0]
    assert histories.length.tolist() == [2, 0]
    assert histories.rows.shape == (2, HISTORY)


def test_values_of_rating_actions_are_ratings() -> None:
    users, _ = _users()
    columns = history(["a", "b", "c"], value=0.5)
    columns["actions"], columns["scenarios"] = ["rate", "play", "rate"], ["video", "video", "elsewhere"]
    users.apply(user_features("u", history=columns), 0)
    histories = users.gather([users.get("u")], np.array([NOW]))
    assert histories.rated[0, -4:].tolist() == [False, True, False, False]


def test_gaps_run_to_the_next_interaction_and_to_the_request() -> None:
    users, _ = _users()
    users.apply(user_features("u", ["a", "b"]), 0)
    histories = users.gather([users.get("u")], np.array([NOW + 4000]))
    assert histories.gaps[0, -2:].tolist() == [1.0, 5.0]
    assert histories.gaps[0, :-2].sum() == 0


def test_action_without_a_head_is_encoded_as_padding() -> None:
    users, _ = _users()
    users.apply(user_features("u", history=history(["a"], action="skip")), 0)
    histories = users.gather([users.get("u")], np.array([NOW]))
    assert histories.actions[0, -1] == 0
    assert histories.rows[0, -1] > 0


def test_snapshot_is_the_end_of_the_record() -> None:
    users, _ = _users()
    record = user_features("u", [f"m{number}" for number in range(70)])
    users.apply(record, 0)
    snapshot = users.snapshot(users.get("u"))
    assert snapshot == {name: column[-HISTORY:] for name, column in record["history"].items()}


def test_seen_covers_history_and_digests() -> None:
    users, catalogue = _users()
    catalogue.ensure_rows(["x", "y"])
    names = [f"m{number}" for number in range(60)]
    users.apply(user_features("u", names, seen_items=seen_items("x", *names, "y")), 0)
    assert _names(catalogue, users.get("u").seen_rows(catalogue)) == {"x", "y", *names}


def test_two_ids_with_one_crc32_are_two_items() -> None:
    users, catalogue = _users()
    twins = ["c50963c80102", "d3f504638284"]
    assert hashes(twins[0]) == hashes(twins[1])
    for unseen, seen in (twins, twins[::-1]):
        catalogue.ensure_rows([unseen, seen])
        users.apply(user_features("u", ["a"], seen_items=seen_items("a", seen), applied_offset=len(unseen)), 0)
        assert _names(catalogue, users.get("u").seen_rows(catalogue)) == {"a", seen}


def test_hashes_of_former_records_are_still_seen() -> None:
    users, catalogue = _users()
    users.apply(user_features("u", ["a"], seen=hashes("late", "known"), seen_items=seen_items("a")), 0)
    catalogue.ensure_row("known")
    assert _names(catalogue, users.get("u").seen_rows(catalogue)) == {"a", "known"}
    catalogue.ensure_row("late")
    assert _names(catalogue, users.get("u").seen_rows(catalogue)) == {"a", "known", "late"}


def test_digest_of_a_later_item_is_resolved_when_it_is_added() -> None:
    users, catalogue = _users()
    users.apply(user_features("u", ["a"], seen_items=seen_items("late", "a", "known")), 0)
    catalogue.ensure_row("known")
    user = users.get("u")
    assert _names(catalogue, user.seen_rows(catalogue)) == {"a", "known"}
    catalogue.ensure_row("late")
    assert _names(catalogue, user.seen_rows(catalogue)) == {"a", "known", "late"}
    assert user.seen_rows(catalogue) is user.seen_rows(catalogue)


def test_next_record_keeps_resolved_digests() -> None:
    users, catalogue = _users()
    catalogue.ensure_rows(["x", "y"])
    users.apply(user_features("u", ["a"], seen_items=seen_items("x", "a")), 0)
    users.get("u").seen_rows(catalogue)
    users.apply(user_features("u", ["a", "b"], seen_items=seen_items("x", "a", "y", "b")), 0)
    assert _names(catalogue, users.get("u").seen_rows(catalogue)) == {"a", "b", "x", "y"}
    users.apply(user_features("u", ["a", "b", "c"], seen_items=seen_items("a", "y", "b", "c")), 0)
    assert _names(catalogue, users.get("u").seen_rows(catalogue)) == {"a", "b", "c", "y"}


def test_older_record_is_ignored() -> None:
    users, _ = _users()
    is_current = users.apply(user_features("u", ["a", "b"]), 0)
    assert users.apply(user_features("u", ["a"]), 0) is is_current
    assert users.get("u") is is_current


def test_malformed_record_is_refused_and_the_former_state_stays() -> None:
    users, _ = _users()
    user = users.apply(user_features("u", ["a"]), 0)
    malformed = history(["a", "b"])
    malformed["values"] = [1.0]
    for record in (
        user_features("u", history=malformed, applied_offset=9),
        user_features("u", seen=b"123", applied_offset=9),
        user_features("u", seen_items=b"123", applied_offset=9),
        user_features("u", history=history(["a"], value=float("nan")), applied_offset=9),
    ):
        with pytest.raises(PoisonError, match="bad_features"):
            users.apply(record, 0)
    assert users.get("u") is user


def test_users_of_dropped_partitions_are_deleted() -> None:
    users, _ = _users()
    users.apply(user_features("here"), 0)
    users.apply(user_features("there"), 1)
    users.drop_partitions({1}.__contains__)
    assert users.get("there") is UNKNOWN_USER
    assert len(users) == 1
    users.forget("here")
    assert len(users) == 0


def test_newest_interaction() -> None:
    users, _ = _users()
    user = users.apply(user_features("u", history=history(["a"], scenario="shop")), 0)
    assert users.newest(user) == ("shop", NOW - 1000)
    assert users.newest(UNKNOWN_USER) is None


def _ratings(valued: list[bool], given: tuple[float | None, ...]) -> list[bool]:
    """Whether clicks with `given` values are ratings, for a record with `valued`."""
    users, _ = _users()
    click = scenarios()["video"].actions["click"]
    columns = history(["a", "b", "c"], action="click")
    columns |= {"values": [click.normalise(value) for value in given], "valued": valued}
    codec = Codec.of("user_features")
    users.apply(codec.decode(codec.encode(user_features("u", history=columns))), 0)
    histories = users.gather([users.get("u")], np.array([NOW]))
    assert users.snapshot(users.get("u"))["valued"] == valued
    return [bool(each) for each in histories.rated[0, -3:]]


def test_action_without_a_value_is_no_rating_and_one_with_the_default_value_is() -> None:
    on_default = scenarios()["video"].actions["click"].value
    assert on_default is not None
    assert _ratings([False, True, True], (None, on_default.default, 4.0)) == [False, True, True]


def test_without_valued_a_default_value_is_no_rating() -> None:
    assert _ratings([], (None, 4.0, None)) == [False, True, False]


def test_valued_may_cover_the_newest_interactions_only() -> None:
    assert _ratings([True], (None, 4.0, None)) == [False, True, True]
    assert _ratings([False, False], (None, 4.0, 4.0)) == [False, False, False]


def test_valued_longer_than_the_history_is_refused() -> None:
    users, _ = _users()
    malformed = {**history(["a"]), "valued": [True, True]}
    with pytest.raises(PoisonError, match="valued"):
        users.apply(user_features("u", history=malformed), 0)
