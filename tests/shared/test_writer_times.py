"""Logical types of times in the schemas of other writers: converted to milliseconds, or refused with the reason."""

import json
from typing import Any

import pytest

from eddy.contract.codec import Codec
from eddy.errors import DecodeError
from eddy.paths import SCHEMAS

AT_MS = 1_790_000_000_123


def schema_with(record: str, field: str, kind: Any, **beside: Any) -> dict[str, Any]:
    """The schema of a record as another writer has it, with another type of one field."""
    schema: dict[str, Any] = json.loads((SCHEMAS / f"{record}.avsc").read_text())
    schema["name"] = "com.shop." + schema["name"].rpartition(".")[2]
    for entry in schema["fields"]:
        if entry["name"] == field:
            entry.pop("default", None)
            entry.update({"type": kind, **beside})
    return schema


def message(record: str, schema: dict[str, Any], values: dict[str, Any]) -> bytes:
    """What this writer sends, with the header that the framing gives it."""
    header = Codec.of(record).add_writer_schema(schema)
    plain = json.loads(
        json.dumps(schema), object_hook=lambda entry: {k: v for k, v in entry.items() if k != "logicalType"}
    )
    return header + Codec(record, plain, []).encode(values)[10:]


def event(at: Any) -> dict[str, Any]:
    return {
        "event_id": "e",
        "user_id": "u",
        "scenario": "video",
        "action": "click",
        "item_id": "i",
        "value": None,
        "query": None,
        "request_id": None,
        "position": None,
        "occurred_at": at,
        "attributes": {},
    }


@pytest.mark.parametrize(
    ("logical", "sent", "read"),
    [
        ("timestamp-millis", AT_MS, AT_MS),
        ("timestamp-micros", AT_MS * 1000 + 999, AT_MS),
        ("timestamp-nanos", AT_MS * 1_000_000 + 999_999, AT_MS),
        ("local-timestamp-millis", AT_MS, AT_MS),
        ("local-timestamp-micros", AT_MS * 1000, AT_MS),
        ("local-timestamp-nanos", AT_MS * 1_000_000, AT_MS),
    ],
)
@pytest.mark.parametrize("place", ["type", "union", "field"])
def test_a_timestamp_is_read_in_milliseconds(logical: str, sent: int, read: int, place: str) -> None:
    typed = {"type": "long", "logicalType": logical}
    schemas = {
        "type": schema_with("user_event", "occurred_at", typed),
        "union": schema_with("user_event", "occurred_at", ["null", typed]),
        "field": schema_with("user_event", "occurred_at", "long", logicalType=logical),
    }
    assert Codec.of("user_event").decode(message("user_event", schemas[place], event(sent))) == event(read)


def test_a_date_is_midnight_utc() -> None:
    schema = schema_with("user_event", "occurred_at", {"type": "int", "logicalType": "date"})
    assert (
        Codec.of("user_event").decode(message("user_event", schema, event(20_000)))["occurred_at"]
        == 20_000 * 86_400_000
    )


def test_schemas_that_differ_in_the_unit_alone_are_told_apart() -> None:
    plain, micros = (
        message("user_event", schema_with("user_event", "occurred_at", kind), event(at))
        for kind, at in (("long", AT_MS), ({"type": "long", "logicalType": "timestamp-micros"}, AT_MS * 1000))
    )
    for _ in range(2):
        assert Codec.of("user_event").decode(plain)["occurred_at"] == AT_MS
        assert Codec.of("user_event").decode(micros)["occurred_at"] == AT_MS
    own = Codec.of("user_event").encode(event(AT_MS))
    assert Codec.of("user_event").decode(own)["occurred_at"] == AT_MS


@pytest.mark.parametrize(
    ("kind", "at", "says"),
    [
        ("string", "2026-01-09T04:31:00Z", "occurred_at is a string in the writer's schema. Use a long"),
        (["null", "string"], "2026-01-09", "occurred_at is a string in the writer's schema. Use a long"),
        ({"type": "long", "logicalType": "time-micros"}, 5, "occurred_at has the logical type time-micros"),
        ({"type": "int", "logicalType": "time-millis"}, 5, "occurred_at has the logical type time-millis"),
    ],
)
def test_other_types_of_time_are_refused_with_the_reason(kind: Any, at: Any, says: str) -> None:
    sent = message("user_event", schema_with("user_event", "occurred_at", kind), event(at))
    with pytest.raises(DecodeError, match=says):
        Codec.of("user_event").decode(sent)


@pytest.mark.parametrize(("published", "read"), [(None, None), (-5_000_001, -5_001)])
def test_optional_times_of_items_are_read_in_milliseconds(published: int | None, read: int | None) -> None:
    """A time before 1970 is rounded down as well."""
    values = {
        "item_id": "i",
        "scenarios": [],
        "title": "t",
        "text": None,
        "categories": [],
        "attributes": {},
        "available": True,
        "published_at": published,
    }
    schema = schema_with("item", "published_at", ["null", {"type": "long", "logicalType": "timestamp-micros"}])
    assert Codec.of("item").decode(message("item", schema, values))["published_at"] == read
