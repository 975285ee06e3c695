"""Creates ACLs and SCRAM logins, as an administrator of the configured Kafka."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import Future

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from eddy.errors import FatalError
from eddy.kafka.connection import Connection
from eddy.settings import Settings
from eddy_cli.topics.acls import CLUSTER, GROUP, TOPIC, TRANSACTIONAL_ID, Acl

TIMEOUT_SEC = 30
SCRAM_ITERATIONS = 8192
_TYPES = {
    TOPIC: ResourceType.TOPIC,
    GROUP: ResourceType.GROUP,
    TRANSACTIONAL_ID: ResourceType.TRANSACTIONAL_ID,
    CLUSTER: ResourceType.BROKER,  # as librdkafka calls the cluster
}


def apply_acls(settings: Settings, acls: Iterable[Acl]) -> None:
    """Create those that do not exist. Raises FatalError if Kafka refuses, or no broker answers."""
    admin = _admin(settings)
    _wait("create ACLs", admin.create_acls([_binding(acl) for acl in acls], request_timeout=TIMEOUT_SEC).values())


def create_users(settings: Settings, passwords: Mapping[str, str]) -> None:
    """Create logins by SCRAM-SHA-512, or give existing ones these passwords. Raises FatalError as `apply_acls`."""
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, SCRAM_ITERATIONS)
    changes: list[UserScramCredentialAlteration] = [
        UserScramCredentialUpsertion(user, info, password.encode()) for user, password in passwords.items()
    ]
    admin = _admin(settings)
    _wait("create logins", admin.alter_user_scram_credentials(changes, request_timeout=TIMEOUT_SEC).values())


def _admin(settings: Settings) -> AdminClient:
    """A client of librdkafka: aiokafka creates neither ACLs nor logins. Hold it until its answers are there."""
    asyncio.run(_reach(settings))
    options = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "security.protocol": settings.kafka_security,
        "ssl.ca.location": settings.kafka_ca and str(settings.kafka_ca),
        "ssl.certificate.location": settings.kafka_certificate and str(settings.kafka_certificate),
        "ssl.key.location": settings.kafka_key and str(settings.kafka_key),
    }
    if settings.kafka_security.startswith("SASL"):
        options |= {
            "sasl.mechanism": settings.kafka_sasl_mechanism,
            "sasl.username": settings.kafka_username,
            "sasl.password": settings.kafka_password.get_secret_value(),
        }
    return AdminClient({name: value for name, value in options.items() if value})


async def _reach(settings: Settings) -> None:
    """Raise FatalError if no broker answers, or if it refuses the login: librdkafka would only try again."""
    async with Connection(settings).admin():
        pass


def _wait(what: str, futures: "Iterable[Future[None]]") -> None:
    try:
        for future in futures:
            future.result(TIMEOUT_SEC)
    except (KafkaException, TimeoutError) as error:
        detail = error.args[0].str() if isinstance(error, KafkaException) else f"no answer within {TIMEOUT_SEC} s"
        raise FatalError(
            f"cannot {what}: {detail}. The Kafka user must be an administrator (`super.users`), and the brokers need an "
            "authorizer (`authorizer.class.name`)."
        ) from error


def _binding(acl: Acl) -> AclBinding:
    return AclBinding(
        _TYPES[acl.resource_type],
        acl.name,
        ResourcePatternType[acl.pattern.upper()],
        acl.principal,
        "*",
        AclOperation[re.sub("(?<=[a-z])(?=[A-Z])", "_", acl.operation).upper()],
        AclPermissionType.ALLOW,
    )
