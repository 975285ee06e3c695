"""Compares the topics of a broker with schemas/topics.yaml."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from eddy.contract.topics import partitions_remedy, topics
from eddy.kafka.bus import Bus
from eddy.kafka.connection import Connection
from eddy.kafka.inspection import TopicState, topic_states
from eddy.kafka.topic_settings import deviations
from eddy.settings import Settings

DENIED_REMEDY = "Allow it by an ACL, or check as a Kafka user who has it"


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of a topic (by full name): description and remedy, one line each.

    `denied` is the missing permission to check the topic; empty if there is none.
    """

    topic: str
    description: str
    remedy: str
    denied: str = ""

    def __str__(self) -> str:
        return f"{self.topic}: {self.description}. {self.remedy}"


async def check_topics(settings: Settings) -> list[Problem]:
    """All problems of the topics of `settings`, in the order of topics.yaml.

    Raises FatalError if no broker answers.
    """
    bus = Bus(settings)
    states = await topic_states(Connection(settings), [bus.full_name(name) for name in topics()])
    return list(problems(states, bus))


def problems(states: Mapping[str, TopicState], bus: Bus) -> Iterator[Problem]:
    """Differences between the broker's `states` (by full name) and topics.yaml."""
    for topic in topics().values():
        name = bus.full_name(topic.name)
        if name not in states:
            yield Problem(name, "missing", "Create it: `eddy topics create`")
            continue
        if denied := states[name].denied:
            yield Problem(name, f"{bus.user} lacks the permission {denied}", DENIED_REMEDY, denied)
            continue
        if (actual := states[name].partitions) != bus.partitions:
            yield Problem(
                name,
                f"{actual} partitions instead of {bus.partitions}",
                _sentence(partitions_remedy(actual)),
            )
        for deviation in deviations(name, topic, states[name].config):
            yield Problem(name, str(deviation), deviation.remedy(bus.servers))


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
