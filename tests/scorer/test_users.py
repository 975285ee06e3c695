"""Histories in and out of their compact form, and what a user has seen."""

import numpy as np
import pytest

from eddy.contract.codec import Codec
from eddy.contract.model import ACTIONS, HISTORY
from eddy.errors import PoisonError
from eddy_scorer.core.state.catalogue import Catalogue
from eddy_scorer.core.state.users import UNKNOWN_USER, UserStore
from tests.scorer.factories import NOW, hashes, history, scenarios, user_features


def _users() -> tuple[UserStore, Catalogue]:
    catalogue = Catalogue(scenarios())
    return UserStore(catalogue, scenarios()), catalogue


def _names(catalogue: Catalogue, rows: "np.ndarray[tuple[int], np.dtype[np.int32]]") -> set[str]:
    return {catalogue.ids[row] for row in rows}


def test_histories_are_padded_on_the_left() -> None:
    users, catalogue = _users()
    users.apply(user_features("u", ["a", "b"]), 0)
    found = users.gather([users.get("u"), UNKNOWN_USER], np.array([NOW, NOW]))
    assert found.rows[0, -2:].tolist() == [catalogue.find("a"), catalogue.find("b")]
    assert found.rows[0, :-2].sum() == found.rows[1].sum() == 0
    assert found.actions[0, -1] == 1 + ACTIONS.index("like")
    assert found.values[0, -2:].tolist() == [1.0, 1.0]
    assert found.length.tolist() == [2, 0]
    assert found.rows.shape == (2, HISTORY)


def test_values_are_opinions_where_the_scenario_says_so() -> None:
    users, _ = _users()
    columns = history(["a", "b", "c"], value=0.5)
    columns["actions"], columns["scenarios"] = ["rate", "play", "rate"], ["video", "video", "elsewhere"]
    users.apply(user_features("u", history=columns), 0)
    found = users.gather([users.get("u")], np.array([NOW]))
    assert found.rated[0, -4:].tolist() == [False, True, False, False]


def test_gaps_run_to_the_next_interaction_and_to_the_request() -> None:
    users, _ = _users()
    users.apply(user_features("u", ["a", "b"]), 0)
    found = users.gather([users.get("u")], np.array([NOW + 4000]))
    assert found.gaps[0, -2:].tolist() == [1.0, 5.0]
    assert found.gaps[0, :-2].sum() == 0


def test_action_without_a_head_reads_as_padding() -> None:
    users, _ = _users()
    users.apply(user_features("u", history=history(["a"], action="skip")), 0)
    found = users.gather([users.get("u")], np.array([NOW]))
    assert found.actions[0, -1] == 0
    assert found.rows[0, -1] > 0


def test_snapshot_is_the_record_s_end() -> None:
    users, _ = _users()
    record = user_features("u", [f"m{number}" for number in range(70)])
    users.apply(record, 0)
    snapshot = users.snapshot(users.get("u"))
    assert snapshot == {name: column[-HISTORY:] for name, column in record["history"].items()}


def test_seen_covers_history_and_hashes() -> None:
    users, catalogue = _users()
    catalogue.ensure_rows(["x", "y"])
    users.apply(user_features("u", [f"m{number}" for number in range(60)], seen=hashes("x", "y")), 0)
    assert _names(catalogue, users.get("u").seen_rows(catalogue)) == {"x", "y", *(f"m{n}" for n in range(60))}


def test_hash_of_an_item_that_comes_later_is_found_then() -> None:
    users, catalogue = _users()
    users.apply(user_features("u", ["a"], seen=hashes("late", "known")), 0)
    catalogue.ensure_row("known")
    user = users.get("u")
    assert _names(catalogue, user.seen_rows(catalogue)) == {"a", "known"}
    catalogue.ensure_row("late")
    assert _names(catalogue, user.seen_rows(catalogue)) == {"a", "known", "late"}
    assert user.seen_rows(catalogue) is user.seen_rows(catalogue)


def test_next_record_takes_resolved_hashes_over() -> None:
    users, catalogue = _users()
    catalogue.ensure_rows(["x", "y"])
    users.apply(user_features("u", ["a"], seen=hashes("x")), 0)
    users.get("u").seen_rows(catalogue)
    users.apply(user_features("u", ["a", "b"], seen=hashes("x", "y")), 0)
    assert _names(catalogue, users.get("u").seen_rows(catalogue)) == {"a", "b", "x", "y"}
    users.apply(user_features("u", ["a", "b", "c"], seen=hashes("y")), 0)
    assert _names(catalogue, users.get("u").seen_rows(catalogue)) == {"a", "b", "c", "y"}


def test_older_record_changes_nothing() -> None:
    users, _ = _users()
    is_current = users.apply(user_features("u", ["a", "b"]), 0)
    assert users.apply(user_features("u", ["a"]), 0) is is_current
    assert users.get("u") is is_current


def test_bad_columns_are_refused_and_the_former_state_stays() -> None:
    users, _ = _users()
    known = users.apply(user_features("u", ["a"]), 0)
    torn = history(["a", "b"])
    torn["values"] = [1.0]
    for record in (
        user_features("u", history=torn, applied_offset=9),
        user_features("u", seen=b"123", applied_offset=9),
        user_features("u", history=history(["a"], value=float("nan")), applied_offset=9),
    ):
        with pytest.raises(PoisonError, match="bad_features"):
            users.apply(record, 0)
    assert users.get("u") is known


def test_partitions_that_go_take_their_users() -> None:
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


def _opinions(valued: list[bool], given: tuple[float | None, ...]) -> list[bool]:
    """Which of clicks with `given` values are opinions, by a record that says `valued`."""
    users, _ = _users()
    click = scenarios()["video"].actions["click"]
    columns = history(["a", "b", "c"], action="click")
    columns |= {"values": [click.normalise(value) for value in given], "valued": valued}
    codec = Codec.of("user_features")
    users.apply(codec.decode(codec.encode(user_features("u", history=columns))), 0)
    found = users.gather([users.get("u")], np.array([NOW]))
    assert users.snapshot(users.get("u"))["valued"] == valued
    return [bool(each) for each in found.rated[0, -3:]]


def test_an_action_that_came_without_a_value_is_no_opinion_and_one_on_the_default_is() -> None:
    on_default = scenarios()["video"].actions["click"].value
    assert on_default is not None
    assert _opinions([False, True, True], (None, on_default.default, 4.0)) == [False, True, True]


def test_where_a_history_does_not_say_it_a_value_on_the_default_was_not_given() -> None:
    assert _opinions([], (None, 4.0, None)) == [False, True, False]


def test_a_history_may_say_it_of_its_newest_interactions_alone() -> None:
    assert _opinions([True], (None, 4.0, None)) == [False, True, True]
    assert _opinions([False, False], (None, 4.0, 4.0)) == [False, False, False]


def test_more_said_than_done_is_refused() -> None:
    users, _ = _users()
    torn = {**history(["a"]), "valued": [True, True]}
    with pytest.raises(PoisonError, match="valued"):
        users.apply(user_features("u", history=torn), 0)
