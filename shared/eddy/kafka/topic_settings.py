"""Compares the settings of topics on a broker with topics.yaml."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import NoError, TopicAuthorizationFailedError, for_code

from eddy.contract.topics import Topic
from eddy.errors import FatalError

UNLIMITED = "-1"
# How long, and how much, is kept: less is an operator's decision, which is logged.
RETENTION = ("retention.ms", "retention.bytes", "delete.retention.ms")
# Larger values are accepted: an operator may keep records longer, or allow larger ones.
AT_LEAST = (*RETENTION, "max.message.bytes")


@dataclass(frozen=True, slots=True)
class Deviation:
    """A setting of a topic (full name) that is not as topics.yaml needs it. `actual` is empty if the broker does not say."""

    topic: str
    setting: str
    actual: str
    expected: str

    def __str__(self) -> str:
        return f"{self.setting} is {self.actual or 'unknown'} instead of {self.expected}"

    def remedy(self, servers: str) -> str:
        """The command that corrects it."""
        return (
            f"kafka-configs.sh --bootstrap-server {servers} --alter --topic {self.topic} "
            f"--add-config {self.setting}={self.expected}"
        )


async def topic_configs(
    client: AIOKafkaAdminClient, names: Iterable[str], servers: str
) -> dict[str, Mapping[str, str] | None]:
    """All settings of existing topics, by full name; None where this user lacks DescribeConfigs."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    configs: dict[str, Mapping[str, str] | None] = {}
    for answer in await client.describe_configs(resources) if resources else []:
        for code, message, _, name, entries in answer.resources:
            if for_code(code) is TopicAuthorizationFailedError:
                configs[name] = None
            elif for_code(code) is not NoError:
                raise FatalError(f"{servers} does not return the settings of {name}: {message}")
            else:
                configs[name] = {entry[0]: entry[1] for entry in entries}
    return configs


def deviations(name: str, topic: Topic, config: Mapping[str, str]) -> list[Deviation]:
    """What differs in the settings `config` of the topic `name` (full name)."""
    return [
        Deviation(name, setting, config.get(setting, ""), expected)
        for setting, expected in topic.config().items()
        if not _is_accepted(setting, config.get(setting, ""), expected)
    ]


def _is_accepted(setting: str, actual: str, expected: str) -> bool:
    if setting not in AT_LEAST:
        return actual == expected
    return actual == UNLIMITED or (expected != UNLIMITED and actual.isdigit() and int(actual) >= int(expected))
