"""Columns by name: maps, selection, former names, disabled features."""

import numpy as np
import pytest

from eddy.contract.actions import DECLARED_ACTIONS
from eddy.contract.columns import ABSENT, NamedColumn, aliases_of, column_map, names_of, resolve, take_columns
from eddy.contract.features import DECLARED_FEATURES, FEATURES, features_without
from eddy.contract.legacy import LEGACY_ACTIONS, LEGACY_FEATURES
from eddy.contract.model import Columns, hash_of_contract, is_compatible
from eddy.errors import ConfigError
from eddy.settings import Settings, load

ALIASES = {"hotness": "trend", "heat": "trend"}


def test_column_map_gives_the_index_of_each_requested_name() -> None:
    assert column_map(("b", "new", "a"), ("a", "old", "b"), {}) == (2, ABSENT, 0)


@pytest.mark.parametrize("requested", ["trend", "hotness", "heat"])
@pytest.mark.parametrize("given", ["trend", "hotness", "heat"])
def test_either_side_may_use_a_former_name(requested: str, given: str) -> None:
    assert column_map((requested,), ("a", given), ALIASES) == (1,)


def test_equal_name_has_precedence_over_an_alias() -> None:
    assert column_map(("trend", "hotness", "heat"), ("hotness", "trend"), ALIASES) == (1, 0, 0)


def test_take_columns_fills_missing_ones_with_nan() -> None:
    matrix = np.arange(6, dtype=np.float16).reshape(2, 3)
    np.testing.assert_array_equal(take_columns(matrix, (2, ABSENT, 0)), [[2, np.nan, 0], [5, np.nan, 3]])
    np.testing.assert_array_equal(take_columns(matrix, (ABSENT,), 0.0), [[0], [0]])
    np.testing.assert_array_equal(take_columns(matrix[:, :0], (ABSENT, ABSENT)), np.full((2, 2), np.nan))
    assert take_columns(matrix, (0, 1, 2)) is matrix
    assert take_columns(matrix, (0, 1)).shape == (2, 2)
    assert matrix.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_declarations_are_valid() -> None:
    for declared in (DECLARED_FEATURES, DECLARED_ACTIONS):
        assert aliases_of(declared).keys().isdisjoint(names_of(declared))
        assert all(each.meaning.endswith(".") and each.name.isidentifier() for each in declared)


@pytest.mark.parametrize(
    "other", [NamedColumn("trend", "x."), NamedColumn("x", "x.", ("trend",)), NamedColumn("x", "x.", ("heat",))]
)
def test_duplicate_name_is_refused(other: NamedColumn) -> None:
    with pytest.raises(ValueError, match="declared twice"):
        aliases_of((NamedColumn("trend", "Recent actions.", ("heat",)), other))


def test_names_are_resolved() -> None:
    assert resolve(("hotness", "a"), ALIASES) == ("trend", "a")


def test_the_hash_does_not_depend_on_features_and_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    before = hash_of_contract()
    monkeypatch.setattr("eddy.contract.model.FEATURES", ("another",))
    monkeypatch.setattr("eddy.contract.model.ACTIONS", ("another",))
    assert hash_of_contract() == before
    monkeypatch.setattr("eddy.contract.model.OPSET", 17)
    assert hash_of_contract() != before
    assert not is_compatible(before)


def test_missing_names_are_the_legacy_ones() -> None:
    assert Columns.of([], []) == Columns(LEGACY_FEATURES, LEGACY_ACTIONS)
    assert Columns.of(["a"], ["b"]) == Columns(("a",), ("b",))


def test_features_can_be_switched_off() -> None:
    settings = load(Settings, {"EDDY_RANKING_FEATURES_OFF": "user_bias, trend"})
    assert settings.columns.features == tuple(name for name in FEATURES if name not in ("user_bias", "trend"))
    assert load(Settings, {}).columns == Columns()


def test_features_can_be_switched_off_by_a_former_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eddy.contract.features.FEATURE_ALIASES", ALIASES)
    assert "trend" not in features_without(["hotness"])


@pytest.mark.parametrize(
    ("off", "message"), [("trend,trendy", "trendy"), (",".join(FEATURES), "at least one must stay enabled")]
)
def test_invalid_features_off_is_refused(off: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"EDDY_RANKING_FEATURES_OFF: .*{message}"):
        load(Settings, {"EDDY_RANKING_FEATURES_OFF": off})
