"""The smallest set of ACLs that lets each service do its work, from the producers and consumers of schemas/topics.yaml."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from eddy.contract.topics import topics
from eddy.kafka.permissions import required_operations
from eddy.settings import Settings
from eddy_cli.services import SERVICES

TOPIC, GROUP, TRANSACTIONAL_ID = "topic", "group", "transactional-id"
LITERAL, PREFIXED = "literal", "prefixed"
# Services that join a consumer group, and the setting that names it; the group of features has a fixed name.
GROUPS = {"features": "features", "scorer": "scorer_group", "joiner": "joiner_group"}
# One producer per partition, `<group>-<partition>`.
TRANSACTIONAL = "joiner"


@dataclass(frozen=True, slots=True)
class Acl:
    """One permission, as Kafka names its parts."""

    principal: str
    operation: str
    resource_type: str
    name: str
    pattern: str

    def line(self, servers: str) -> str:
        """The call of kafka-acls.sh that adds it."""
        return (
            f"kafka-acls.sh --bootstrap-server {servers} --add --allow-principal '{self.principal}' "
            f"--operation {self.operation} --{self.resource_type} '{self.name}' --resource-pattern-type {self.pattern}"
        )

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def acls(settings: dict[str, Settings], principal: str = "User:eddy-{service}") -> list[Acl]:
    """What each service needs, by its `settings`; `principal` is a pattern for the services' logins.

    The publishers of topics.yaml (your own applications) get what it says of them as `publishers`.
    """
    prefix = next(iter(settings.values())).topic_prefix
    found = [acl for service in (*SERVICES, "publishers") for acl in _of_topics(service, prefix, principal)]
    for service, own in settings.items():
        found += _of_groups(service, own, principal.format(service=service))
    return found


def _of_topics(service: str, prefix: str, principal: str) -> Iterator[Acl]:
    who = principal.format(service=service)
    for topic in topics().values():
        if service in SERVICES or service in (*topic.producers, *topic.consumers):
            for operation in required_operations(service, topic):
                yield Acl(who, operation, TOPIC, prefix + topic.name, LITERAL)


def _of_groups(service: str, settings: Settings, who: str) -> Iterator[Acl]:
    if service not in GROUPS:
        return
    group = settings.topic_prefix + str(getattr(settings, GROUPS[service], GROUPS[service]))
    yield Acl(who, "Read", GROUP, group, LITERAL)
    if service == TRANSACTIONAL:
        yield Acl(who, "Write", TRANSACTIONAL_ID, f"{group}-", PREFIXED)
