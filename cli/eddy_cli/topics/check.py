"""Compares the topics of a broker with schemas/topics.yaml."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from eddy.contract.topics import Topic, topics
from eddy.kafka.bus import Bus
from eddy.kafka.connection import Connection
from eddy.kafka.inspection import TopicState, topic_states
from eddy.settings import Settings

UNLIMITED = "-1"
# For these more is as good: an operator may keep records longer, or allow larger ones.
AT_LEAST = ("retention.ms", "max.message.bytes")
DENIED_REMEDY = "Allow it by an ACL, or check as a Kafka user who has it"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a topic (by its full name), and how to mend it, in one line each.

    `denied` is the permission that is missing to check the topic, empty where none is.
    """

    topic: str
    what: str
    mend: str
    denied: str = ""

    def __str__(self) -> str:
        return f"{self.topic}: {self.what}. {self.mend}"


async def check_topics(settings: Settings) -> list[Problem]:
    """All problems of the topics of `settings`, in the order of topics.yaml; empty when all is as it must be.

    Raises FatalError where no broker answers.
    """
    bus = Bus(settings)
    states = await topic_states(Connection(settings), [bus.full_name(name) for name in topics()])
    return list(problems(states, bus))


def problems(states: Mapping[str, TopicState], bus: Bus) -> Iterator[Problem]:
    """What the broker's `states` (by full name) say otherwise than topics.yaml."""
    for topic in topics().values():
        name = bus.full_name(topic.name)
        if name not in states:
            yield Problem(name, "missing", "Create it: `eddy topics create`")
            continue
        if denied := states[name].denied:
            yield Problem(name, f"{bus.user} lacks the permission {denied}", DENIED_REMEDY, denied)
            continue
        if (there := states[name].partitions) != bus.partitions:
            yield Problem(
                name,
                f"{there} partitions instead of {bus.partitions}",
                f"Set EDDY_TOPIC_PARTITIONS={there} if all topics have {there}, or EDDY_TOPIC_PREFIX to start afresh",
            )
        yield from _settings(name, topic, states[name].config, bus.servers)


def _settings(name: str, topic: Topic, config: Mapping[str, str], servers: str) -> Iterator[Problem]:
    for setting, wanted in topic.config().items():
        there = config.get(setting, "")
        if not _holds(setting, there, wanted):
            yield Problem(
                name,
                f"{setting} is {there or 'not known'} instead of {wanted}",
                f"kafka-configs.sh --bootstrap-server {servers} --alter --topic {name} --add-config {setting}={wanted}",
            )


def _holds(setting: str, there: str, wanted: str) -> bool:
    if setting not in AT_LEAST:
        return there == wanted
    return there == UNLIMITED or (there.isdigit() and int(there) >= int(wanted))
