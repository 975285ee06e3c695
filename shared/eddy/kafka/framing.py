"""Confluent's wire format, in which clients of a schema registry frame a record (docs.confluent.io, "Wire format").

A message is a zero byte, the registry's id of the schema (4 bytes, big-endian), then the Avro body. Inside Eddy records are in the
single-object encoding of eddy.contract.codec: the bytes before the body are exchanged when a record is read from Kafka and, if a registry
is set, when it is written.
"""

import json
import time
from typing import TYPE_CHECKING, Any

import structlog
from fastavro.schema import SchemaParseException

from eddy.contract.codec import HEADER_BYTES, MARKER, Codec

if TYPE_CHECKING:
    from eddy.kafka.registry import Registry

MAGIC = b"\x00"
HEAD_BYTES = 5
UNKNOWN_RETRY_SEC = 10.0
MAX_UNKNOWN = 1000  # schema ids that are remembered as unknown

log = structlog.get_logger()


class Framing:
    """Exchanges the header of records; values in neither framing stay unchanged. Without `url` records are written unchanged."""

    def __init__(self, url: str | None) -> None:
        self._registry = _registry(url) if url else None
        self._heads: dict[tuple[str, bytes], bytes] = {}  # full topic and single-object header -> Confluent head
        self._headers: dict[tuple[str, bytes], bytes] = {}  # topic and Confluent head -> single-object header
        self._unknown: dict[tuple[str, bytes], float] = {}  # topic and Confluent head -> time of the next request

    async def frame(self, topic: str, full_topic: str, value: bytes | None) -> bytes | None:
        """`value` as it is written to Kafka. A schema is registered at its first use, for the subject `<full topic>-value`.

        Raises FatalError if the registry does not answer or rejects the schema.
        """
        if self._registry is None or value is None or value[:2] != MARKER:
            return value
        header = value[:HEADER_BYTES]
        head = self._heads.get((full_topic, header))
        if head is None:
            schema = Codec.for_topic(topic).writer_schema(header)
            if schema is None:
                return value
            # Sorted, so that all processes register the same text: a registry compares schemas as text.
            text = json.dumps(_plain(schema), sort_keys=True)
            head = MAGIC + (await self._registry.register(f"{full_topic}-value", text)).to_bytes(4)
            self._heads[full_topic, header] = head
        return head + value[HEADER_BYTES:]

    async def unframe(self, topic: str, value: bytes) -> bytes:
        """Convert a `value` in Confluent's framing to the single-object encoding; unchanged if its schema is unknown or not a record's.

        Raises FatalError if the registry does not answer.
        """
        head = value[:HEAD_BYTES]
        header = self._headers.get((topic, head))
        if header is None:
            header = await self._look_up(topic, head)
            if header is None:
                return value
            self._headers[topic, head] = header
        return header + value[HEAD_BYTES:]

    async def _look_up(self, topic: str, head: bytes) -> bytes | None:
        registry = self._registry
        if registry is None or self._unknown.get((topic, head), 0.0) > time.monotonic():
            return None
        try:
            schema = await registry.schema(int.from_bytes(head[1:]))
            if schema is not None:
                return Codec.for_topic(topic).add_writer_schema(schema)
        except (ValueError, KeyError, TypeError, SchemaParseException) as error:
            log.warning("schema_not_usable", topic=topic, number=int.from_bytes(head[1:]), error=repr(error)[:200])
        if len(self._unknown) >= MAX_UNKNOWN:
            self._unknown.clear()
        self._unknown[topic, head] = time.monotonic() + UNKNOWN_RETRY_SEC
        return None


def _registry(url: str) -> "Registry":
    from eddy.kafka.registry import Registry  # takes seconds to import, and is only needed with a registry

    return Registry(url)


def _plain(schema: Any) -> Any:
    """The schema without the entries that fastavro adds for itself."""
    if isinstance(schema, dict):
        return {name: _plain(value) for name, value in schema.items() if not name.startswith("__")}
    return [_plain(each) for each in schema] if isinstance(schema, list) else schema


def is_framed(value: bytes | None) -> bool:
    """Whether a message looks like Confluent's wire format."""
    return value is not None and value[:1] == MAGIC and len(value) >= HEAD_BYTES
