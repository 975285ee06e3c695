"""Descriptions of topics, in versions of Kafka's Metadata request that are newer than aiokafka's newest."""

from io import BytesIO
from typing import Any, ClassVar

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest_v5
from aiokafka.protocol.types import (
    AbstractType,
    Array,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    String,
    TaggedFields,
)

_KEY = 3
_UUID_BYTES = 16


class _Uuid(AbstractType):  # type: ignore[misc]  # aiokafka has no types
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(_UUID_BYTES)


class _Response8(Response):  # type: ignore[misc]
    API_KEY, API_VERSION = _KEY, 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(("node_id", Int32), ("host", String("utf-8")), ("port", Int32), ("rack", String("utf-8"))),
        ),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class _Request8(RequestStruct):  # type: ignore[misc]
    """Version 8 (Kafka 2.3): the first that names allowed operations."""

    API_KEY, API_VERSION = _KEY, 8
    RESPONSE_TYPE = _Response8
    SCHEMA = Schema(
        *zip(MetadataRequest_v5.SCHEMA.names, MetadataRequest_v5.SCHEMA.fields, strict=True),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class _Response10(Response):  # type: ignore[misc]
    API_KEY, API_VERSION = _KEY, 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _Request10(RequestStruct):  # type: ignore[misc]
    """Version 10 (Kafka 2.8): the first with topic ids."""

    API_KEY, API_VERSION = _KEY, 10
    FLEXIBLE_VERSION: ClassVar[bool] = True
    RESPONSE_TYPE = _Response10
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("topic", CompactString("utf-8")), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class TopicsRequest(Request[_Request8 | _Request10]):  # type: ignore[misc]
    """Describes the topics `names`. The response's `topics` have error_code, topic, partitions, authorized_operations, and topic_id from
    Kafka 2.8 on. Raises NotImplementedError when it is prepared for a broker older than Kafka 2.3."""

    API_KEY = _KEY

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def build(self, request_struct_class: type[RequestStruct]) -> Any:
        create_topics, cluster_operations, topic_operations = False, False, True
        options = (create_topics, cluster_operations, topic_operations)
        if request_struct_class is _Request8:
            return _Request8(self._names, *options)
        return _Request10([(bytes(_UUID_BYTES), name, {}) for name in self._names], *options, {})
