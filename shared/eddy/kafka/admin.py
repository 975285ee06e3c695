"""Creates, checks and deletes the topics of topics.yaml, and reads committed offsets."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    NoError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)

from eddy.contract.message import TopicPartition
from eddy.contract.topics import RENUMBERED, partitions_remedy, topics
from eddy.errors import FatalError
from eddy.kafka.connection import Connection
from eddy.kafka.partitions import raw
from eddy.kafka.permissions import DESCRIBE, REMEDY, TopicAccess, missing_permissions, topic_access
from eddy.kafka.topic_settings import RETENTION, deviations, topic_configs

log = structlog.get_logger()

TRIES = 50


class TopicError(FatalError):
    """A topic is not as Eddy needs it."""


@dataclass(frozen=True, slots=True)
class Admin:
    """Administers the topics with one prefix; `partitions` and `replication` are those of new topics."""

    connection: Connection
    prefix: str
    partitions: int
    replication: int

    async def existing_topics(self) -> set[str]:
        """Full names of the topics with the prefix."""
        async with self.connection.admin() as client:
            return await self._existing(client)

    async def create_topics(self, service: str = "") -> dict[str, bytes]:
        """Create the topics of topics.yaml that do not exist, and check all of them and the permissions of `service`, if given.

        Returns the topic ids by full name, empty ones for a broker older than Kafka 2.8.

        Raises TopicError for a topic with other partitions or settings than expected, FatalError for a missing permission.
        """
        async with self.connection.admin() as client:
            existing = await self._existing(client)
            denied = False
            for topic in topics().values():
                name = self.prefix + topic.name
                if name not in existing:
                    new = NewTopic(name, self.partitions, self.replication, topic_configs=topic.creation_config())
                    denied |= self._is_denied(await client.create_topics([new]))
            access = await self._describe(client, TRIES // 10 if denied else TRIES)
            self._check_permissions(access, service)
            self._check_partitions(access)
            await self._check_settings(client, access, warn=True)
            return {name: topic.topic_id for name, topic in access.items()}

    async def check_topics(self, topic_ids: Mapping[str, bytes]) -> None:
        """Check ids, partitions and settings. Raises TopicError for a topic that is missing, another one, or not as expected."""
        async with self.connection.admin() as client:
            access = await topic_access(client, [self.prefix + name for name in topics()])
            for name, topic in access.items():
                if for_code(topic.error_code) is UnknownTopicOrPartitionError:
                    raise TopicError(f"topic {name} is gone: it was deleted while this service ran. {RENUMBERED}")
                if topic.topic_id and not topic.error_code and topic.topic_id != topic_ids.get(name, topic.topic_id):
                    raise TopicError(
                        f"topic {name} is another one: it was deleted and created again while this service ran. {RENUMBERED}"
                    )
            known = {name: topic for name, topic in access.items() if not topic.error_code}
            self._check_partitions(known)
            await self._check_settings(client, known, warn=False)

    async def delete_topics(self) -> None:
        """Delete every topic with the prefix. Raises FatalError for an empty prefix, which all topics have."""
        if not self.prefix:
            raise FatalError("only topics with a prefix can be deleted: set EDDY_TOPIC_PREFIX")
        async with self.connection.admin() as client:
            for _ in range(TRIES):  # brokers learn of a deletion with a delay
                existing = await self._existing(client)
                if not existing:
                    return
                await client.delete_topics(list(existing))
                await asyncio.sleep(0.1)

    async def commits(
        self, group: str, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, tuple[int, str]]:
        """The next offset and the metadata of each partition with a commit of the group (full name).

        Raises GroupCoordinatorNotAvailableError if no coordinator answers. A coordinator that is still loading the group leaves requested
        partitions out of its answer, unlike one without a commit; the request is then repeated.
        """
        async with self.connection.admin() as client:
            for _ in range(TRIES):
                with suppress(GroupCoordinatorNotAvailableError):
                    committed = await client.list_consumer_group_offsets(group, partitions=list(map(raw, partitions)))
                    if committed.keys() >= set(partitions):
                        return {
                            TopicPartition(*partition): (commit.offset, commit.metadata)
                            for partition, commit in committed.items()
                            if commit.offset >= 0
                        }
                await asyncio.sleep(0.2)
        raise GroupCoordinatorNotAvailableError(f"no coordinator returns the committed offsets of group {group}")

    async def _existing(self, client: AIOKafkaAdminClient) -> set[str]:
        return {name for name in await client.list_topics() if name.startswith(self.prefix)}

    def _is_denied(self, response: Any) -> bool:
        """Whether this user may not create the topic. Raises FatalError for another error: the client raises nothing."""
        for name, code, *messages in response.topic_errors:
            error = for_code(code)
            if error is TopicAuthorizationFailedError:
                return True
            if error not in (NoError, TopicAlreadyExistsError):
                raise FatalError(
                    f"cannot create topic {name} with {self.partitions} partitions and "
                    f"EDDY_TOPIC_REPLICATION={self.replication}: {(messages and messages[0]) or error.__name__}"
                )
        return False

    def _check_permissions(self, access: Mapping[str, TopicAccess], service: str) -> None:
        missing = (
            missing_permissions(service, self.prefix, access)
            if service
            else [f"{DESCRIBE} on topic {name}" for name, topic in access.items() if topic.hidden]
        )
        if missing:
            raise FatalError(f"{self.connection.user} lacks permissions (ACLs): {', '.join(missing)}. {REMEDY}")

    def _check_partitions(self, access: Mapping[str, TopicAccess]) -> None:
        for name, topic in access.items():
            if topic.partitions != self.partitions:
                raise TopicError(
                    f"topic {name} has {topic.partitions} partitions, Eddy expects {self.partitions}: "
                    f"{partitions_remedy(topic.partitions)}"
                )

    async def _check_settings(self, client: AIOKafkaAdminClient, access: Mapping[str, TopicAccess], warn: bool) -> None:
        """Raise TopicError for a setting that would lose or misread records. With `warn`, what is only worth a warning is logged."""
        names = [name for name, topic in access.items() if not topic.error_code]
        configs = await topic_configs(client, names, self.connection.servers)
        denied = [name for name, config in configs.items() if config is None]
        if denied and warn:
            log.warning(
                "topic_settings_not_checked",
                topics=denied,
                remedy="allow DescribeConfigs, as `eddy topics acls` prints",
            )
        for topic in topics().values():
            name = self.prefix + topic.name
            for deviation in deviations(name, topic, configs.get(name) or topic.config()):
                if deviation.setting not in RETENTION:
                    raise TopicError(
                        f"topic {name}: {deviation}. Correct it: {deviation.remedy(self.connection.servers)}"
                    )
                if warn:
                    log.warning(
                        "topic_retention_short",
                        topic=name,
                        setting=deviation.setting,
                        actual=deviation.actual,
                        expected=deviation.expected,
                    )

    async def _describe(self, client: AIOKafkaAdminClient, tries: int) -> Mapping[str, TopicAccess]:
        """Descriptions of all topics. Brokers learn of new topics with a delay, so the request is repeated until all are described."""
        for _ in range(tries):
            access = await topic_access(client, [self.prefix + name for name in topics()])
            unknown = [name for name, topic in access.items() if topic.error_code and not topic.hidden]
            if not unknown:
                return access
            await asyncio.sleep(0.2)
        raise FatalError(
            f"{self.connection.servers} does not have the topics {', '.join(unknown)}. If {self.connection.user} may not create topics, "
            "run `eddy topics create` as an administrator."
        )
