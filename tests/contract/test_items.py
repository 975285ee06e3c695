"""An invalid item is refused with the same reason by gateway, scorer and trainer."""

from collections.abc import Callable
from typing import Any

import pytest

from eddy.contract.codec import Codec, Record
from eddy.contract.limits import MAX_CATEGORIES, MAX_DESCRIPTION_CHARS, MAX_ID_CHARS, MAX_TEXT_CHARS
from eddy.contract.message import Message
from eddy.contract.reasons import REASONS
from eddy.contract.topics import ITEMS
from eddy.errors import PoisonError
from eddy_gateway.core.models import ItemIn
from eddy_gateway.core.rules import Rules
from eddy_scorer.core.model.releases import ReleaseStaging
from eddy_scorer.shell.state_updater import StateUpdater
from eddy_trainer.shell.topic_intake import _item
from tests.contract.generated import NOW_MS, SCENARIOS
from tests.release_keys import KEYS
from tests.scorer.factories import item, recommender

Reader = Callable[[Record, bytes], object]


def _gateway(record: Record, _: bytes) -> object:
    body = {name: value for name, value in record.items() if name != "item_id"}
    return Rules(SCENARIOS).item(record["item_id"], ItemIn.model_validate(body))


def _scorer(record: Record, key: bytes) -> object:
    taken = StateUpdater(recommender(), ReleaseStaging(KEYS), lambda *_: None)
    taken.apply(Message(ITEMS, 0, 0, key, Codec.for_topic(ITEMS).encode(record), NOW_MS))
    return record


def _trainer(record: Record, key: bytes) -> object:
    return _item(Message(ITEMS, 0, 0, key, Codec.for_topic(ITEMS).encode(record), 0))


READERS = pytest.mark.parametrize("reader", [_gateway, _scorer, _trainer])
BROKEN: list[tuple[dict[str, Any], str, str]] = [
    ({"item_id": ""}, "missing_item", "item_id"),
    ({"item_id": "x" * (MAX_ID_CHARS + 1)}, "too_long", "item_id"),
    ({"title": "x" * (MAX_TEXT_CHARS + 1)}, "too_long", "title"),
    ({"text": "x" * (MAX_DESCRIPTION_CHARS + 1)}, "too_long", "text"),
    ({"categories": ["c"] * (MAX_CATEGORIES + 1)}, "too_long", "categories"),
    ({"categories": [""]}, "empty_name", "categories"),
    ({"scenarios": [""]}, "empty_name", "scenarios"),
    ({"attributes": {"a": "x" * (MAX_TEXT_CHARS + 1)}}, "too_long", "attributes"),
    ({"attributes": {"": "x"}}, "empty_name", "attributes"),
    ({"published_at": 1_790_000_000}, "out_of_range", "published_at"),  # seconds
    ({"published_at": 63_072_000}, "out_of_range", "published_at"),  # seconds, of 1972
    ({"published_at": 29_931_073}, "out_of_range", "published_at"),  # minutes
    ({"published_at": 20_785}, "out_of_range", "published_at"),  # days
    ({"published_at": 20_261_128}, "out_of_range", "published_at"),  # yyyymmdd
    ({"published_at": 2026}, "out_of_range", "published_at"),
    ({"published_at": -300_000_000}, "out_of_range", "published_at"),  # seconds, of a film of 1960
    ({"published_at": 1_790_000_000_000_000}, "out_of_range", "published_at"),  # microseconds
    ({"published_at": 2**63 - 1}, "out_of_range", "published_at"),
]


@READERS
@pytest.mark.parametrize(("changes", "reason", "field"), BROKEN)
def test_every_reader_refuses_an_invalid_item(reader: Reader, changes: dict[str, Any], reason: str, field: str) -> None:
    record = item("m1", **changes) if "item_id" not in changes else item(**changes)
    with pytest.raises(PoisonError) as refused:
        reader(record, record["item_id"].encode())
    assert (refused.value.reason, refused.value.field) == (reason, field)
    assert refused.value.reason in REASONS


@READERS
def test_every_reader_accepts_an_item_at_its_limits(reader: Reader) -> None:
    at_limits = item(
        "x" * MAX_ID_CHARS,
        title="t" * MAX_TEXT_CHARS,
        text="d" * MAX_DESCRIPTION_CHARS,
        categories=["c" * MAX_ID_CHARS] * MAX_CATEGORIES,
        scenarios=["video"],
        published_at=-1_500_000_000_000,
    )
    assert reader(at_limits, at_limits["item_id"].encode())


@READERS
@pytest.mark.parametrize("at", [0, -3_600_000, 28_800_000, 20_700_000, 10**10, None])
def test_new_year_1970_is_a_publication_time(reader: Reader, at: int | None) -> None:
    """Of films of that year, in the time zone of the publisher."""
    assert reader(item("m1", published_at=at), b"m1")


@pytest.mark.parametrize("reader", [_scorer, _trainer])
def test_an_item_under_another_key_is_refused(reader: Reader) -> None:
    with pytest.raises(PoisonError, match="wrong_key"):
        reader(item("m1"), b"m2")


def test_item_of_an_unknown_scenario_is_only_refused_over_http() -> None:
    """The publisher over HTTP can mend a misspelt name at once; over Kafka the scenario may be added a moment later."""
    record = item("m1", scenarios=["video", "cinema"])
    assert _scorer(record, b"m1")
    assert _trainer(record, b"m1")
    with pytest.raises(PoisonError, match="unknown scenario 'cinema'"):
        _gateway(record, b"m1")
