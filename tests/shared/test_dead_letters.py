"""A service stops after so many unusable records in a row of one partition, with one line; one good record begins anew.

The trainer's case is in tests/trainer, which has its graphs traced.
"""

from pathlib import Path

import pytest

from eddy.clock import SystemClock
from eddy.contract.codec import Codec
from eddy.contract.message import Message
from eddy.contract.poison import PoisonRuns
from eddy.contract.topics import DEAD_LETTERS, RECOMMENDATION_REQUESTS, USER_EVENTS
from eddy.errors import FatalError, PoisonError
from eddy.kafka.bus import Bus
from eddy.kafka.dead_letters import DeadLetters
from eddy.settings import load
from eddy_features.settings import FeaturesSettings
from tests.features.factories import encoded, event
from tests.poll import poll_until
from tests.service import read_all, running

pytestmark = pytest.mark.stack

LIMIT = 5
JUNK = [("u", b"junk")] * LIMIT


class ServiceTopics:
    """One Eddy of a test with one partition, so that records are in a row."""

    def __init__(self, kafka: str, topic_prefix: str) -> None:
        self.environment = {
            "EDDY_KAFKA_BOOTSTRAP_SERVERS": kafka,
            "EDDY_TOPIC_PREFIX": topic_prefix,
            "EDDY_TOPIC_PARTITIONS": "1",
        }
        self.bus = Bus(load(FeaturesSettings, self.environment))

    async def publish(self, topic: str, records: list[tuple[str, bytes]]) -> None:
        await self.bus.create_topics()
        async with self.bus.producer() as producer:
            await producer.send_all(topic, records)

    async def letters(self) -> list[tuple[str, int, str]]:
        """Service, offset and reason of each, in order; the same one twice is one."""
        codec = Codec.for_topic(DEAD_LETTERS)
        letters = [codec.decode(message.value) for message in await read_all(self.bus, DEAD_LETTERS)]
        return sorted({(one["service"], one["source_offset"], one["reason"]) for one in letters})


@pytest.fixture
def service_topics(kafka: str, topic_prefix: str) -> ServiceTopics:
    return ServiceTopics(kafka, topic_prefix)


@pytest.mark.parametrize(
    ("service", "topic"),
    [
        ("features", USER_EVENTS),
        ("joiner", USER_EVENTS),
        ("scorer", RECOMMENDATION_REQUESTS),
    ],
)
async def test_service_stops_at_the_limit_of_consecutive_unusable_records(
    service_topics: ServiceTopics, tmp_path: Path, service: str, topic: str
) -> None:
    await service_topics.publish(topic, JUNK)
    environment = {**service_topics.environment, "EDDY_POISON_LIMIT": str(LIMIT), "EDDY_STATE_DIR": str(tmp_path)}
    with running(service, environment, tmp_path / "service.log") as process:
        await poll_until(lambda: process.process.poll() is not None, 90, what="its end")
    output = (tmp_path / "service.log").read_text()
    assert process.process.returncode == 1, output
    line = output.splitlines()[-1]
    assert line.startswith(
        f"{service}: {LIMIT} consecutive unusable records: topic {topic}, partition 0, offsets 0 to {LIMIT - 1}; "
    )
    assert "most frequent reason: undecodable" in line
    assert "EDDY_POISON_LIMIT" in line
    assert "Traceback" not in output
    if service != "joiner":  # which leaves the events that it passes over to the features service
        assert await service_topics.letters() == [(service, offset, "undecodable") for offset in range(LIMIT)]


async def test_usable_record_restarts_the_count(service_topics: ServiceTopics, tmp_path: Path) -> None:
    good = [("u", encoded(event(number, user_id="u"))[1]) for number in range(3)]
    stream = [record for one in good for record in [*JUNK[1:], one]]
    await service_topics.publish(USER_EVENTS, stream)
    environment = {**service_topics.environment, "EDDY_POISON_LIMIT": str(LIMIT), "EDDY_STATE_DIR": str(tmp_path)}
    with running("features", environment, tmp_path / "service.log") as features:
        await features.ready()
        await poll_until(lambda: features.metric("eddy_features_events_total") == 3, what="all good events")
        labels = 'reason="undecodable",service="features",topic="user-events"'
        assert features.metric("eddy_dead_letters_total", labels) == len(stream) - 3
        assert features.stop() == 0
    assert len(await service_topics.letters()) == len(stream) - 3


async def test_dead_letters_are_stored_before_the_limit_stops_the_service(service_topics: ServiceTopics) -> None:
    """Of a batch that reaches the limit every letter can be read afterwards."""
    await service_topics.bus.create_topics()
    batch = [Message(USER_EVENTS, 0, offset, b"u", b"junk", 0) for offset in range(2 * LIMIT)]
    async with service_topics.bus.producer() as producer:
        letters = DeadLetters("features", service_topics.bus, producer, SystemClock(), PoisonRuns(LIMIT))
        with pytest.raises(FatalError, match="5 consecutive unusable records"):
            await letters.refuse_batch(batch, [(message, PoisonError("undecodable")) for message in batch])
        assert len(await service_topics.letters()) == 2 * LIMIT
