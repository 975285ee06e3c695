"""Changes of single fields of an item: what each one gives, and which are refused."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from eddy.contract.records import Item
from eddy.contract.scenarios import Scenarios, load_scenarios
from eddy.errors import PoisonError
from eddy_gateway.core.models import ItemPatch
from eddy_gateway.core.rules import Rules

HEAT: Item = {
    "item_id": "m1",
    "scenarios": ["video"],
    "title": "Heat",
    "text": "Cops and robbers",
    "categories": ["crime"],
    "attributes": {"year": "1995", "director": "Mann"},
    "available": True,
    "published_at": 788_918_400_000,
}


@pytest.fixture(scope="module")
def scenarios() -> Scenarios:
    return load_scenarios(Path("scenarios.yaml"))


@pytest.mark.parametrize(
    ("patch", "changed"),
    [
        ({"available": False}, {"available": False}),
        ({"title": "Heat (1995)", "categories": []}, {"title": "Heat (1995)", "categories": []}),
        ({"text": None, "published_at": None}, {"text": None, "published_at": None}),
        ({"title": None, "scenarios": None}, {"title": "", "scenarios": []}),
        (
            {"attributes": {"year": "1996", "colour": "blue", "director": None}},
            {"attributes": {"year": "1996", "colour": "blue"}},
        ),
        ({"attributes": None}, {"attributes": {}}),
        ({}, {}),
    ],
)
def test_a_patch_changes_what_it_names(patch: dict[str, Any], changed: dict[str, Any], scenarios: Scenarios) -> None:
    assert Rules(scenarios).changed_item(HEAT, ItemPatch.model_validate(patch)) == {**HEAT, **changed}


@pytest.mark.parametrize(
    ("patch", "field", "kind"),
    [
        ({"colour": "red"}, "colour", "extra_forbidden"),
        ({"item_id": "m2"}, "item_id", "extra_forbidden"),
        ({"available": "perhaps"}, "available", "bool_parsing"),
        ({"title": "x" * 1025}, "title", "too_long"),
        ({"scenarios": ["cinema"]}, "scenarios", "unknown_scenario"),
        ({"published_at": 1_750_000_000}, "published_at", "out_of_range"),
        ({"attributes": {str(number): "" for number in range(63)}}, "attributes", "too_long"),
    ],
)
def test_an_invalid_patch_is_refused_by_field(
    patch: dict[str, Any], field: str, kind: str, scenarios: Scenarios
) -> None:
    try:
        Rules(scenarios).changed_item(HEAT, ItemPatch.model_validate(patch))
    except ValidationError as error:
        assert [(problem["loc"], problem["type"]) for problem in error.errors()] == [((field,), kind)]
    except PoisonError as error:
        assert (error.field, error.reason) == (field, kind)
    else:
        raise AssertionError("not refused")


def test_a_scenario_of_the_item_need_not_exist_any_more(scenarios: Scenarios) -> None:
    item: Item = {**HEAT, "scenarios": ["removed"]}
    assert Rules(scenarios).changed_item(item, ItemPatch(available=False))["available"] is False
