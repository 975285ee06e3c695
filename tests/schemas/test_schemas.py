"""Schemas: complete docs, examples and versions, and evolution in both directions."""

import io
import itertools
import json
from pathlib import Path
from typing import Any

import fastavro
import pytest
from fastavro.read import SchemaResolutionError
from fastavro.schema import to_parsing_canonical_form
from fastavro.utils import generate_many

from eddy.contract.codec import Codec, former_versions, load_schema
from eddy.contract.reasons import REASONS
from eddy.contract.topics import topics
from eddy.paths import SCHEMAS

RECORDS = sorted(path.stem for path in SCHEMAS.glob("*.avsc"))
SERVICES = {"features", "scorer", "joiner", "trainer", "gateway", "publishers"}


def example(record: str) -> dict[str, Any]:
    document = json.loads((SCHEMAS / "examples" / f"{record}.json").read_text())
    return _bytes_restored(document, load_schema(SCHEMAS / f"{record}.avsc"))


def _bytes_restored(value: Any, schema: Any) -> Any:
    """JSON has no bytes: text stands for them, one character a byte."""
    if isinstance(schema, list):
        return None if value is None else _bytes_restored(value, next(kind for kind in schema if kind != "null"))
    if isinstance(schema, dict) and schema["type"] == "record":
        types = {field["name"]: field["type"] for field in schema["fields"]}
        return {name: _bytes_restored(field, types.get(name)) for name, field in value.items()}
    if isinstance(schema, dict) and schema["type"] == "array":
        return [_bytes_restored(entry, schema["items"]) for entry in value]
    return value.encode("latin-1") if schema == "bytes" else value


def fields_of(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [field for branch in schema for field in fields_of(branch)]
    if not isinstance(schema, dict):
        return []
    own = schema.get("fields", [])
    inner = [schema.get("items"), schema.get("values"), *(field["type"] for field in own)]
    return [*own, *(field for kind in inner for field in fields_of(kind))]


def compatible(writer: dict[str, Any], reader: dict[str, Any], record: dict[str, Any]) -> bool:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, writer, record)
    out.seek(0)
    try:
        fastavro.schemaless_reader(out, writer, reader)
    except SchemaResolutionError:
        return False
    return True


@pytest.mark.parametrize("record", RECORDS)
def test_every_field_has_a_doc(record: str) -> None:
    schema = load_schema(SCHEMAS / f"{record}.avsc")
    assert schema["doc"]
    assert [field["name"] for field in fields_of(schema) if not field.get("doc")] == []


@pytest.mark.parametrize("record", RECORDS)
def test_example_round_trips(record: str) -> None:
    codec = Codec.of(record)
    assert codec.decode(codec.encode(example(record))) == example(record)


def test_every_schema_has_a_topic_and_every_topic_a_schema() -> None:
    assert {topic.record for topic in topics().values()} | {"history"} == set(RECORDS)


@pytest.mark.parametrize("name", sorted(topics()))
def test_topic_is_whole(name: str) -> None:
    topic = topics()[name]
    assert topic.key in {field["name"] for field in load_schema(SCHEMAS / f"{topic.record}.avsc")["fields"]}
    assert topic.cleanup in {"delete", "compact"}
    assert (topic.retention_hours is None) == (topic.cleanup == "compact")
    assert set(topic.producers) <= SERVICES
    assert set(topic.consumers) <= SERVICES
    assert topic.producers
    assert topic.consumers


@pytest.mark.parametrize("record", RECORDS)
def test_newest_frozen_version_is_what_is_written(record: str) -> None:
    frozen = former_versions(record)
    assert [path.name for path in frozen] == [f"{record}.{number}.avsc" for number in range(1, len(frozen) + 1)]
    current = to_parsing_canonical_form(load_schema(SCHEMAS / f"{record}.avsc"))
    assert to_parsing_canonical_form(load_schema(frozen[-1])) == current, "run python -m eddy.contract.freeze"


@pytest.mark.parametrize("record", RECORDS)
def test_versions_read_each_other(record: str) -> None:
    versions = [load_schema(path) for path in former_versions(record)]
    for older, newer in itertools.pairwise(versions):
        assert compatible(older, newer, sample(older))
        assert compatible(newer, older, sample(newer))


def sample(schema: dict[str, Any]) -> dict[str, Any]:
    return next(iter(generate_many(schema, 1)))


def test_evolution_check_catches_a_field_without_default() -> None:
    older = load_schema(SCHEMAS / "item.avsc")
    newer = json.loads((SCHEMAS / "item.avsc").read_text())
    newer["fields"].append({"name": "price", "doc": "Price.", "type": "double"})
    parsed = fastavro.parse_schema(newer, named_schemas={})
    assert not compatible(older, parsed, sample(older))


def test_examples_have_no_orphans() -> None:
    assert {Path(path).stem for path in (SCHEMAS / "examples").glob("*.json")} == set(RECORDS)


def test_dead_letter_example_gives_a_known_reason() -> None:
    assert example("dead_letter")["reason"] in REASONS
