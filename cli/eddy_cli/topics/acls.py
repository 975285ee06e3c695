"""The minimal ACLs of each Kafka user, from the producers and consumers of schemas/topics.yaml.

A user is a service; `publishers`, your own applications; or `tools`, the commands of `eddy` that publish and watch.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from eddy.contract.topics import Topic, topics
from eddy.errors import ConfigError
from eddy.kafka.permissions import (
    DESCRIBE,
    DESCRIBE_CONFIGS,
    IDEMPOTENT_WRITE,
    PUBLISHERS,
    READ,
    WRITE,
    required_operations,
)
from eddy.settings import Settings
from eddy_cli.services import SERVICES

TOPIC, GROUP, TRANSACTIONAL_ID, CLUSTER = "topic", "group", "transactional-id", "cluster"
LITERAL, PREFIXED = "literal", "prefixed"
CLUSTER_NAME = "kafka-cluster"
TOOLS, REGISTRY = "tools", "schema-registry"
USERS = (*SERVICES, PUBLISHERS, TOOLS)
PRINCIPAL = "User:eddy-{user}"
# Services that join consumer groups, and the settings that name them; the groups of features have fixed names.
GROUPS = {
    "features": ("features", "features-erasures"),
    "scorer": ("scorer_group",),
    "joiner": ("joiner_group",),
}
# Services that write in transactions. The joiner has one producer per partition, `<group>-<partition>`.
TRANSACTIONAL = {"joiner": "{group}-", "trainer": "trainer-", "gateway": "gateway-items-"}


@dataclass(frozen=True, slots=True)
class Acl:
    """One permission, in the terms of Kafka."""

    principal: str
    operation: str
    resource_type: str
    name: str
    pattern: str

    def line(self, servers: str) -> str:
        """The call of kafka-acls.sh that adds this permission."""
        name = "" if self.resource_type == CLUSTER else f" '{self.name}'"
        return (
            f"kafka-acls.sh --bootstrap-server {servers} --add --allow-principal '{self.principal}' "
            f"--operation {self.operation} --{self.resource_type}{name} --resource-pattern-type {self.pattern}"
        )

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def acls(settings: dict[str, Settings], principal: str = PRINCIPAL, registry: bool = False) -> list[Acl]:
    """The ACLs of each user, by the services' `settings`; `principal` is a pattern for the users' logins.

    With `registry` also those of a schema registry that stores its schemas in Kafka, as Apicurio does.
    """
    prefix = next(iter(settings.values())).topic_prefix
    permissions = [acl for user in USERS for acl in _of_topics(user, prefix, login_of(user, principal))]
    for service, service_settings in settings.items():
        permissions += _of_groups(service, service_settings, login_of(service, principal))
        permissions += _of_groups_watched(service, service_settings, login_of(TOOLS, principal))
    return permissions + (list(_of_registry(login_of(REGISTRY, principal))) if registry else [])


def login_of(user: str, principal: str) -> str:
    """The principal of a user. `{service}` is the former name of `{user}`. Raises ConfigError for another placeholder."""
    try:
        return principal.format(user=user, service=user)
    except (LookupError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"--principal {principal}: it may contain no placeholder but {{user}}, as in {PRINCIPAL}"
        ) from error


def _of_topics(user: str, prefix: str, principal: str) -> Iterator[Acl]:
    writes = False
    for topic in topics().values():
        for operation in _operations(user, topic):
            writes |= operation == WRITE
            yield Acl(principal, operation, TOPIC, prefix + topic.name, LITERAL)
    if writes:  # Kafka before 2.8 asks for it, besides Write
        yield Acl(principal, IDEMPOTENT_WRITE, CLUSTER, CLUSTER_NAME, LITERAL)


def _operations(user: str, topic: Topic) -> list[str]:
    if user == TOOLS:  # publish like an application, and read and check everything
        return [READ, DESCRIBE_CONFIGS, *([WRITE] if PUBLISHERS in topic.producers else [])]
    named = user in SERVICES or user in (*topic.producers, *topic.consumers)
    return required_operations(user, topic) if named else []


def _of_groups(service: str, settings: Settings, principal: str) -> Iterator[Acl]:
    for group in _groups(service, settings):
        yield Acl(principal, READ, GROUP, settings.topic_prefix + group, LITERAL)
    if service in TRANSACTIONAL:
        name = settings.topic_prefix + TRANSACTIONAL[service].format(group="".join(_groups(service, settings)))
        yield Acl(principal, WRITE, TRANSACTIONAL_ID, name, PREFIXED)


def _of_groups_watched(service: str, settings: Settings, principal: str) -> Iterator[Acl]:
    for group in _groups(service, settings):
        yield Acl(principal, DESCRIBE, GROUP, settings.topic_prefix + group, LITERAL)


def _groups(service: str, settings: Settings) -> list[str]:
    return [str(getattr(settings, name, name)) for name in GROUPS.get(service, ())]


def _of_registry(principal: str) -> Iterator[Acl]:
    """Apicurio creates its topics by itself, and reads them with a new group at each start."""
    for operation in ("Create", READ, WRITE, DESCRIBE_CONFIGS):
        yield Acl(principal, operation, TOPIC, "kafkasql-", PREFIXED)
        yield Acl(principal, operation, TOPIC, "registry-events", LITERAL)
    yield Acl(principal, READ, GROUP, "apicurio-", PREFIXED)
    yield Acl(principal, IDEMPOTENT_WRITE, CLUSTER, CLUSTER_NAME, LITERAL)
