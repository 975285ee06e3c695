"""Validation of `item` records, shared by gateway, scorer and trainer."""

from collections.abc import Mapping
from typing import Any

from eddy.contract.checks import (
    check_attributes,
    check_count,
    check_key,
    check_length,
    check_names,
    check_publication_time,
    unknown_scenario,
)
from eddy.contract.limits import MAX_CATEGORIES, MAX_DESCRIPTION_CHARS, MAX_TEXT_CHARS
from eddy.contract.model import MAX_SCENARIOS
from eddy.contract.scenarios import Scenarios
from eddy.errors import PoisonError


def check_item(record: Mapping[str, Any], key: bytes | None) -> None:
    """Validate a decoded `item` with its message key. Raises PoisonError with reason, field and what to do.

    A scenario of the item may be missing from scenarios.yaml: the item is recommended there once the scenario is added.
    """
    item_id = record["item_id"]
    if not item_id:
        raise PoisonError("missing_item", "item_id is empty. Every item needs an id.", "item_id")
    check_key("item_id", item_id, key)
    check_length("item_id", item_id)
    check_count("scenarios", record["scenarios"], MAX_SCENARIOS)
    check_names("scenarios", record["scenarios"])
    check_length("title", record["title"], MAX_TEXT_CHARS)
    check_length("text", record["text"] or "", MAX_DESCRIPTION_CHARS)
    check_count("categories", record["categories"], MAX_CATEGORIES)
    check_names("categories", record["categories"])
    check_attributes(record["attributes"])
    if record["published_at"] is not None:
        check_publication_time("published_at", record["published_at"])


def check_published_item(record: Mapping[str, Any], key: bytes | None, scenarios: Scenarios) -> None:
    """As `check_item`, for publishers that receive the error and can correct it: all scenarios must be in scenarios.yaml."""
    check_item(record, key)
    for name in record["scenarios"]:
        if name not in scenarios.scenarios:
            raise unknown_scenario(name, scenarios.scenarios, "scenarios")
