"""The minimal ACLs of each service, from the producers and consumers of schemas/topics.yaml."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from eddy.contract.topics import topics
from eddy.kafka.permissions import PUBLISHERS, required_operations
from eddy.settings import Settings
from eddy_cli.services import SERVICES

TOPIC, GROUP, TRANSACTIONAL_ID = "topic", "group", "transactional-id"
LITERAL, PREFIXED = "literal", "prefixed"
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
        return (
            f"kafka-acls.sh --bootstrap-server {servers} --add --allow-principal '{self.principal}' "
            f"--operation {self.operation} --{self.resource_type} '{self.name}' --resource-pattern-type {self.pattern}"
        )

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def acls(settings: dict[str, Settings], principal: str = "User:eddy-{service}") -> list[Acl]:
    """The ACLs of each service, by its `settings`; `principal` is a pattern for the services' logins.

    Your own applications get the ACLs of `publishers` in topics.yaml.
    """
    prefix = next(iter(settings.values())).topic_prefix
    permissions = [acl for service in (*SERVICES, PUBLISHERS) for acl in _of_topics(service, prefix, principal)]
    for service, service_settings in settings.items():
        permissions += _of_groups(service, service_settings, principal.format(service=service))
    return permissions


def _of_topics(service: str, prefix: str, principal: str) -> Iterator[Acl]:
    principal_name = principal.format(service=service)
    for topic in topics().values():
        if service in SERVICES or service in (*topic.producers, *topic.consumers):
            for operation in required_operations(service, topic):
                yield Acl(principal_name, operation, TOPIC, prefix + topic.name, LITERAL)


def _of_groups(service: str, settings: Settings, principal_name: str) -> Iterator[Acl]:
    groups = [str(getattr(settings, name, name)) for name in GROUPS.get(service, ())]
    for group in groups:
        yield Acl(principal_name, "Read", GROUP, settings.topic_prefix + group, LITERAL)
    if service in TRANSACTIONAL:
        name = settings.topic_prefix + TRANSACTIONAL[service].format(group="".join(groups))
        yield Acl(principal_name, "Write", TRANSACTIONAL_ID, name, PREFIXED)
