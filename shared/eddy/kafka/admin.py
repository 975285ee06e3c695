"""Creates, checks and deletes the topics of topics.yaml, and reads what a group has committed."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import GroupCoordinatorNotAvailableError, NoError, TopicAlreadyExistsError, for_code

from eddy.contract.message import TopicPartition
from eddy.contract.topics import topics
from eddy.errors import FatalError
from eddy.kafka.connection import Connection
from eddy.kafka.partitions import raw

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

    async def create_topics(self) -> None:
        """Create what topics.yaml names and is not there. Raises FatalError where a topic has other partitions than it should."""
        async with self.connection.admin() as client:
            existing = await self._existing(client)
            for topic in topics().values():
                name = self.prefix + topic.name
                if name not in existing:
                    new = NewTopic(name, self.partitions, self.replication, topic_configs=topic.config())
                    self._check_created(await client.create_topics([new]))
            await self._check_partitions(client)

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
        """The client answers with codes and raises nothing."""
        for name, code, *said in response.topic_errors:
            error = for_code(code)
            if error not in (NoError, TopicAlreadyExistsError):
                raise FatalError(
                    f"cannot create topic {name} with {self.partitions} partitions and "
                    f"EDDY_TOPIC_REPLICATION={self.replication}: {(said and said[0]) or error.__name__}"
                )

    async def _check_partitions(self, client: AIOKafkaAdminClient) -> None:
        for topic in await self._described(client):
            if len(topic["partitions"]) != self.partitions:
                raise FatalError(
                    f"topic {topic['topic']} has {len(topic['partitions'])} partitions, Eddy expects {self.partitions}: "
                    "set EDDY_TOPIC_PARTITIONS, or EDDY_TOPIC_PREFIX to start afresh"
                )

    async def _described(self, client: AIOKafkaAdminClient) -> list[dict[str, Any]]:
        """All topics, once the broker that answers knows of them, which may be a little after their creation."""
        for _ in range(TRIES):
            described: list[dict[str, Any]] = await client.describe_topics([self.prefix + name for name in topics()])
            unknown = [topic["topic"] for topic in described if topic["error_code"]]
            if not unknown:
                return described
            await asyncio.sleep(0.2)
        raise FatalError(
            f"{self.connection.servers} does not describe the topics {', '.join(unknown)}. Allow the user to describe them (ACL Describe)."
        )
