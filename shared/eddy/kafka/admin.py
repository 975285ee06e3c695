"""Creates, checks and deletes the topics of topics.yaml, and reads what a group has committed."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    NoError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)

from eddy.contract.message import TopicPartition
from eddy.contract.topics import topics
from eddy.errors import FatalError
from eddy.kafka.connection import Connection
from eddy.kafka.partitions import raw
from eddy.kafka.permissions import DESCRIBE, REMEDY, TopicAccess, missing_permissions, topic_access

TRIES = 50


@dataclass(frozen=True, slots=True)
class Admin:
    """Topics below one prefix, each with so many partitions and replicas."""

    connection: Connection
    prefix: str
    partitions: int
    replication: int

    async def existing_topics(self) -> set[str]:
        """The topics below the prefix, as Kafka names them."""
        async with self.connection.admin() as client:
            return await self._existing(client)

    async def create_topics(self, service: str = "") -> None:
        """Create the topics of topics.yaml that do not exist, and check partitions and the permissions of `service`, if given.

        Raises FatalError for a topic with other partitions than expected, and for a missing permission.
        """
        async with self.connection.admin() as client:
            existing = await self._existing(client)
            for topic in topics().values():
                name = self.prefix + topic.name
                if name not in existing:
                    new = NewTopic(name, self.partitions, self.replication, topic_configs=topic.config())
                    self._check_created(await client.create_topics([new]))
            access = await self._described(client)
            self._check_permissions(access, service)
            self._check_partitions(access)

    async def delete_topics(self) -> None:
        """Delete every topic below the prefix, whoever made it. Raises FatalError without a prefix: that would be everybody's."""
        if not self.prefix:
            raise FatalError("only topics below a prefix can be deleted: set EDDY_TOPIC_PREFIX")
        async with self.connection.admin() as client:
            for _ in range(TRIES):  # the broker that answers may learn of a deletion a little later
                existing = await self._existing(client)
                if not existing:
                    return
                await client.delete_topics(list(existing))
                await asyncio.sleep(0.1)

    async def commits(
        self, group: str, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, tuple[int, str]]:
        """The next offset and the metadata of each partition that the group (full name) has committed at all.

        Raises GroupCoordinatorNotAvailableError when no coordinator answers. One that is only just loading the group answers nothing
        about partitions that it is asked about by name, and is asked again: that is not to be taken for nothing committed.
        """
        async with self.connection.admin() as client:
            for _ in range(TRIES):
                with suppress(GroupCoordinatorNotAvailableError):
                    committed = await client.list_consumer_group_offsets(group, partitions=list(map(raw, partitions)))
                    if committed.keys() >= set(partitions):
                        return {
                            TopicPartition(*partition): (known.offset, known.metadata)
                            for partition, known in committed.items()
                            if known.offset >= 0
                        }
                await asyncio.sleep(0.2)
        raise GroupCoordinatorNotAvailableError(f"no coordinator knows what group {group} has committed")

    async def _existing(self, client: AIOKafkaAdminClient) -> set[str]:
        return {name for name in await client.list_topics() if name.startswith(self.prefix)}

    def _check_created(self, response: Any) -> None:
        """The client returns error codes and raises nothing. Topics that this user may not see are reported by `_check_permissions`."""
        for name, code, *said in response.topic_errors:
            error = for_code(code)
            if error not in (NoError, TopicAlreadyExistsError, TopicAuthorizationFailedError):
                raise FatalError(
                    f"cannot create topic {name} with {self.partitions} partitions and "
                    f"EDDY_TOPIC_REPLICATION={self.replication}: {(said and said[0]) or error.__name__}"
                )

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
                raise FatalError(
                    f"topic {name} has {topic.partitions} partitions, Eddy expects {self.partitions}: "
                    "set EDDY_TOPIC_PARTITIONS, or EDDY_TOPIC_PREFIX to start afresh"
                )

    async def _described(self, client: AIOKafkaAdminClient) -> Mapping[str, TopicAccess]:
        """All topics, once the broker that answers knows of them, which may be a little after their creation."""
        for _ in range(TRIES):
            access = await topic_access(client, [self.prefix + name for name in topics()])
            unknown = [name for name, topic in access.items() if topic.error_code and not topic.hidden]
            if not unknown:
                return access
            await asyncio.sleep(0.2)
        raise FatalError(
            f"{self.connection.servers} does not have the topics {', '.join(unknown)}, and {self.connection.user} may not create "
            "them. Run `eddy topics create` as an administrator."
        )
