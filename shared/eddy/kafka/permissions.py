"""Permissions (ACLs) of the Kafka user: which ones a service has on its topics, and which one a refused request needed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from eddy.contract.topics import Topic, topics
from eddy.errors import FatalError
from eddy.kafka.metadata import TopicsRequest

READ, WRITE, DESCRIBE, DESCRIBE_CONFIGS = "Read", "Write", "Describe", "DescribeConfigs"
IDEMPOTENT_WRITE = "IdempotentWrite"
# Bits of `topic_authorized_operations`, by Kafka's AclOperation.
_BITS = {READ: 3, WRITE: 4, DESCRIBE: 8}
# The broker did not say, as brokers without an authorizer of Kafka's own may.
_UNKNOWN_OPERATIONS = -(2**31)
# In topics.yaml, the user's own applications.
PUBLISHERS = "publishers"
REMEDY = "`eddy topics acls` prints the ACLs that each service needs, and --apply creates them"

PERMISSION_ERRORS = (
    TopicAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)


@dataclass(frozen=True, slots=True)
class TopicAccess:
    """A topic as the broker describes it to this user. `operations` are the allowed ones, None where the broker does not say.

    `topic_id` tells a topic from a former one of its name; empty if the broker is older than Kafka 2.8.
    """

    error_code: int
    partitions: int
    operations: frozenset[str] | None
    topic_id: bytes = b""

    @property
    def hidden(self) -> bool:
        """Whether the user may not describe the topic, if it exists at all."""
        return bool(self.error_code == TopicAuthorizationFailedError.errno)


async def topic_access(client: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, TopicAccess]:
    """Describe the topics `names` (as Kafka names them), each with its number of partitions and the allowed operations.

    Raises FatalError for a broker older than Kafka 2.3.
    """
    try:
        # The client's public request is an older version, which does not name the allowed operations.
        response = await client._send_request(TopicsRequest(list(names)))
    except NotImplementedError as error:
        raise FatalError("this Kafka is older than 2.3, the oldest that Eddy runs on. Upgrade the brokers.") from error
    return {
        topic["topic"]: TopicAccess(
            topic["error_code"],
            len(topic["partitions"]),
            _operations(topic["error_code"], topic["authorized_operations"]),
            topic_id if any(topic_id := topic.get("topic_id", b"")) else b"",
        )
        for topic in response.to_object()["topics"]
    }


def required_operations(service: str, topic: Topic) -> list[str]:
    """What a service does with a topic, by topics.yaml. Read and Write include Describe.

    Every service, but no application, describes all topics and their settings, to check them.
    """
    operations = {WRITE: topic.producers, READ: topic.consumers}
    allowed = [operation for operation, services in operations.items() if service in services] or [DESCRIBE]
    return allowed if service == PUBLISHERS else [*allowed, DESCRIBE_CONFIGS]


def missing_permissions(service: str, prefix: str, access: Mapping[str, TopicAccess]) -> list[str]:
    """The permissions that `service` needs and this user lacks, each as "Read on topic x". It can do without DescribeConfigs."""
    return [
        f"{operation} on topic {prefix + topic.name}"
        for topic in topics().values()
        for operation in required_operations(service, topic)
        if operation in _BITS
        if (allowed := access[prefix + topic.name].operations) is not None and operation not in allowed
    ]


def describe_denial(error: BaseException) -> str:
    """One line about an error out of PERMISSION_ERRORS: what was denied, and what to do."""
    resource = ", ".join(sorted(map(str, _names(error)))) or "the resource"
    match error:
        case GroupAuthorizationFailedError():
            denied = f"Read on group {resource}"
        case TransactionalIdAuthorizationFailed():
            denied = f"Write on transactional id {resource}"
        case _:
            denied = f"access to topic {resource}"
    return f"Kafka denies {denied}: a permission (ACL) is missing. {REMEDY}"


def _names(error: BaseException) -> Iterable[Any]:
    """aiokafka gives one name or a set of names, or none."""
    for argument in error.args:
        yield from argument if isinstance(argument, set | frozenset) else [argument]


def _operations(error_code: int, bits: int) -> frozenset[str] | None:
    if error_code == TopicAuthorizationFailedError.errno:
        return frozenset()
    if bits == _UNKNOWN_OPERATIONS:
        return None
    return frozenset(name for name, bit in _BITS.items() if bits & (1 << bit))
