"""Encodes and decodes the records of schemas/ in Avro's single-object encoding (Avro specification 1.11).

A message is `C3 01`, the CRC-64-AVRO fingerprint of the writer's schema (8 bytes, little-endian), then the Avro body. A reader
finds the writer's schema by its fingerprint among the current schemas and their former versions (schemas/versions), so bytes
written by an older release stay readable. Encoding is strict: an unknown or missing field is an error. Messages in the framing of a
schema registry are converted to this encoding first (eddy.kafka.framing).
"""

import copy
import hashlib
import io
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar, cast, overload

import fastavro
from fastavro.read import SchemaResolutionError
from fastavro.schema import fingerprint, to_parsing_canonical_form

from eddy.contract.topics import TopicName, topics
from eddy.contract.undecodable import describe_undecodable
from eddy.contract.writer_times import WriterTimes, writer_times
from eddy.errors import DecodeError
from eddy.paths import SCHEMAS

# A record whose kind is only known at run time.
Record = dict[str, Any]
R = TypeVar("R", bound=Mapping[str, Any])

MARKER = b"\xc3\x01"
HEADER_BYTES = 10

# Named types that other schemas refer to, parsed first.
_SHARED_TYPES = ("history",)


class Codec(Generic[R]):
    """Encodes and decodes records of one kind: `Codec.of(UserEvent)`, or by the name of the schema file, `Codec.of("user_event")`."""

    def __init__(self, record: str, schema: dict[str, Any], former: list[dict[str, Any]]) -> None:
        self.record = record
        self.schema = schema
        self.header = _header(schema)
        self._reader = _with_bytes(schema)
        self._writers = {_header(old): old for old in [*former, schema]}
        self._times: dict[bytes, WriterTimes] = {}  # by header, of the schemas of others
        self._last: str | None = None  # the last field that is decoded; None for all
        self._parts: dict[bytes, dict[str, Any]] = {}  # by header, the part of the writer's schema up to it

    @overload
    @staticmethod
    def of(record: type[R]) -> "Codec[R]": ...

    @overload
    @staticmethod
    def of(record: str) -> "Codec[Record]": ...

    @staticmethod
    def of(record: type[Any] | str) -> "Codec[Any]":
        """The codec of a class of eddy.contract.records, or of schemas/<record>.avsc."""
        return _codec_of(record if isinstance(record, str) else schema_name(record))

    @overload
    @staticmethod
    def for_topic(topic: TopicName[R]) -> "Codec[R]": ...  # type: ignore[overload-overlap]  # a plain str overlaps with TopicName

    @overload
    @staticmethod
    def for_topic(topic: str) -> "Codec[Record]": ...

    @staticmethod
    def for_topic(topic: str) -> "Codec[Any]":
        """The codec of the records of `topic`."""
        return _codec_of(topics()[topic].record)

    def until(self, field: str) -> "Codec[R]":
        """A codec that decodes the fields up to this one: the bytes after it are not read, which is faster, and its records lack them."""
        part = copy.copy(self)
        part._last = field
        part._reader = _with_bytes(_until(self.schema, field))
        part._parts = {}
        return part

    def writer_schema(self, header: bytes) -> dict[str, Any] | None:
        """The schema of messages with this header; None for an unknown one."""
        return self._writers.get(header)

    def add_writer_schema(self, schema: Any) -> bytes:
        """Read messages of another writer's schema, resolved against the current schema; returns their header.

        Times with another unit by their logical type are converted to milliseconds. Raises ValueError if it is not the schema of a record.
        """
        if not isinstance(schema, dict) or schema.get("type") != "record":
            raise ValueError(f"not a record: {str(schema)[:100]}")
        times = writer_times(schema, self.schema)
        # The canonical form drops logical types: the current schema has plain numbers and strings.
        plain = dict(
            fastavro.parse_schema(json.loads(to_parsing_canonical_form(fastavro.parse_schema(schema, _force=True))))
        )
        header = _header(plain)
        if not times.plain:
            # Schemas that differ in logical types alone have the same fingerprint.
            header = MARKER + hashlib.sha256(header + times.key()).digest()[: HEADER_BYTES - len(MARKER)]
            self._times[header] = times
        self._writers.setdefault(header, plain)
        return header

    def encode(self, record: R) -> bytes:
        """Bytes of `record`. Raises ValueError if it does not match the schema exactly (fastavro's strict mode)."""
        out = io.BytesIO()
        out.write(self.header)
        fastavro.schemaless_writer(out, self.schema, record, strict=True)
        return out.getvalue()

    def decode(self, payload: bytes) -> R:
        """The record in `payload`. Raises DecodeError for a wrong marker, an unknown schema, missing or surplus bytes."""
        writer = self._writers.get(payload[:HEADER_BYTES])
        if writer is None:
            raise DecodeError(describe_undecodable(self.record, payload, _owners().get(payload[:HEADER_BYTES])))
        times = self._times.get(payload[:HEADER_BYTES]) if self._times else None
        if times is not None and times.refusal:
            raise DecodeError(times.refusal)
        body = io.BytesIO(payload)
        body.seek(HEADER_BYTES)
        reader = None if writer is self.schema else self._reader
        if self._last is not None:
            writer = self._part_of(writer, payload[:HEADER_BYTES])
        try:
            record: R = fastavro.schemaless_reader(body, writer, reader)
        except SchemaResolutionError as error:  # the schema registry named the schema of another record
            owner = _owners().get(payload[:HEADER_BYTES], writer["name"])
            raise DecodeError(describe_undecodable(self.record, payload, owner)) from error
        except Exception as error:  # fastavro raises errors of many types
            raise DecodeError(f"not a {self.record}: {type(error).__name__} {error}") from error
        if self._last is None and body.tell() != len(payload):
            raise DecodeError(f"{len(payload) - body.tell()} surplus bytes after a {self.record}")
        if times is not None:
            times.convert(cast(dict[str, Any], record))
        return record

    def _part_of(self, writer: dict[str, Any], header: bytes) -> dict[str, Any]:
        """The writer's schema up to the last field that is decoded."""
        part = self._parts.get(header)
        if part is None:
            part = self._parts[header] = _until(writer, self._last)
        return part


def _until(schema: dict[str, Any], last: str | None) -> dict[str, Any]:
    """The schema without the fields after `last`; all of it if it has no such field."""
    names = [field["name"] for field in schema["fields"]]
    return {**schema, "fields": schema["fields"][: names.index(last) + 1]} if last in names else schema


def _with_bytes(schema: Any) -> Any:
    """The schema with bytes as the defaults of fields of bytes: fastavro would return the text by which JSON names them."""
    if isinstance(schema, list):
        return [_with_bytes(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    copy = {key: _with_bytes(value) for key, value in schema.items()}
    if copy.get("type") == "bytes" and "default" in copy:
        copy["default"] = copy["default"].encode("latin-1")
    return copy


def schema_name(record: type[Any]) -> str:
    """The name of the schema file of a class of eddy.contract.records: `user_event` for UserEvent."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", record.__name__).lower()


@cache
def _codec_of(record: str) -> Codec[Any]:
    return Codec(
        record, load_schema(SCHEMAS / f"{record}.avsc"), [load_schema(path) for path in former_versions(record)]
    )


def load_schema(path: Path) -> dict[str, Any]:
    """The parsed schema in `path`, with the shared types that it refers to included."""
    named: dict[str, Any] = {}
    if path.parent == SCHEMAS and path.stem not in _SHARED_TYPES:
        for name in _SHARED_TYPES:
            fastavro.parse_schema(json.loads((SCHEMAS / f"{name}.avsc").read_text()), named_schemas=named)
    return dict(fastavro.parse_schema(json.loads(path.read_text()), named_schemas=named, expand=True))


def former_versions(record: str) -> list[Path]:
    """Paths of the frozen versions of a record's schema, oldest first: schemas/versions/<record>.<n>.avsc."""
    paths = (SCHEMAS / "versions").glob(f"{record}.*.avsc")
    return sorted(paths, key=lambda path: int(path.stem.partition(".")[2]))


@cache
def _owners() -> dict[bytes, str]:
    """Record name by header, for all schemas in schemas/versions."""
    versions = (SCHEMAS / "versions").glob("*.avsc")
    return {_header(load_schema(path)): path.stem.partition(".")[0] for path in versions}


@cache
def frozen_header(record: str, version: int) -> bytes:
    """Header of messages of schemas/versions/<record>.<version>.avsc, for code that encodes or decodes that version by hand.

    A test compares these versions with the newest ones: it names the code to adapt when a schema changes.
    """
    return _header(load_schema(SCHEMAS / "versions" / f"{record}.{version}.avsc"))


def _header(schema: dict[str, Any]) -> bytes:
    canonical = to_parsing_canonical_form(schema)
    # fastavro's hexadecimal digits are in the byte order of the encoding.
    return MARKER + bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO"))
