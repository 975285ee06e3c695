"""Topics that are not as Eddy needs them: refused at the start, noticed while a service runs."""

import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from eddy.contract.topics import ITEMS, TRAINING_EXAMPLES, USER_EVENTS, topics
from eddy.errors import FatalError
from eddy.kafka import bus as bus_module
from eddy.kafka.admin import TopicError
from eddy.kafka.bus import Bus
from eddy.settings import Settings
from eddy_cli.topics.acls import Acl
from eddy_cli.topics.administration import apply_acls
from tests.topics import delete_topic

_WRONG, _UNREACHABLE = TopicError("topic items is gone"), FatalError("no Kafka")


def a_bus(kafka: str, prefix: str) -> Bus:
    return Bus(Settings(kafka_bootstrap_servers=kafka, topic_prefix=prefix, topic_partitions=2))


async def made_beforehand(kafka: str, prefix: str, topic: str, **changes: str) -> None:
    """As a platform team makes it, with other settings."""
    client = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await client.start()
    try:
        config = {**topics()[topic].config(), **{name.replace("_", "."): value for name, value in changes.items()}}
        await client.create_topics([NewTopic(prefix + topic, 2, 1, topic_configs=config)])
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("topic", "changes", "says"),
    [
        (
            ITEMS,
            {"cleanup_policy": "delete"},
            "cleanup.policy is delete instead of compact. Correct it: kafka-configs.sh",
        ),
        (ITEMS, {"cleanup_policy": "compact,delete"}, "cleanup.policy is compact,delete instead of compact"),
        (
            USER_EVENTS,
            {"message_timestamp_type": "CreateTime"},
            "message.timestamp.type is CreateTime instead of LogApp",
        ),
        (TRAINING_EXAMPLES, {"max_message_bytes": "1000000"}, "max.message.bytes is 1000000 instead of 4194304"),
        (USER_EVENTS, {"retention_ms": "3600000", "retention_bytes": "9999"}, ""),  # logged
        (ITEMS, {"delete_retention_ms": "1000"}, ""),  # logged
        (USER_EVENTS, {"retention_ms": "-1", "max_message_bytes": "99999999"}, ""),
    ],
)
async def test_a_topic_with_other_settings_is_refused(
    kafka: str, topic_prefix: str, topic: str, changes: dict[str, str], says: str
) -> None:
    await made_beforehand(kafka, topic_prefix, topic, **changes)
    if not says:
        await a_bus(kafka, topic_prefix).create_topics()
        return
    with pytest.raises(FatalError, match=f"topic {topic_prefix}{topic}: {says}"):
        await a_bus(kafka, topic_prefix).create_topics()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus_module, "WATCH_SEC", 0.2)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            "partitions",
            "has 3 partitions, Eddy expects 2: set EDDY_TOPIC_PARTITIONS=3 if all topics have 3, or EDDY_TOPIC_PREFIX",
        ),
        ("policy", "cleanup.policy is delete instead of compact"),
        ("deletion", "is gone: it was deleted while this service ran"),
    ],
)
async def test_a_change_is_noticed_while_a_service_runs(kafka: str, topic_prefix: str, change: str, says: str) -> None:
    bus = a_bus(kafka, topic_prefix)
    await bus.create_topics()
    watch = asyncio.create_task(bus.watch_topics())
    await asyncio.sleep(1)
    assert not watch.done()
    client = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await client.start()
    name = topic_prefix + ITEMS
    try:
        if change == "partitions":
            await client.create_partitions({name: NewPartitions(3)})
        elif change == "policy":
            resource = ConfigResource(ConfigResourceType.TOPIC, name, {"cleanup.policy": "delete"})
            await client.alter_configs([resource])
        else:
            await client.delete_topics([name])
    finally:
        await client.close()
    with pytest.raises(FatalError, match=f"topic {name}.*{says}"):
        await asyncio.wait_for(watch, 30)


@pytest.mark.usefixtures("quick")
async def test_a_topic_that_was_created_again_is_another_one(kafka: str, topic_prefix: str) -> None:
    """Deleted and created again between two checks: partitions and settings are as before."""
    bus = a_bus(kafka, topic_prefix)
    await bus.create_topics()
    former = bus.topic_id(USER_EVENTS)
    assert len(former) == 16
    assert bus.topic_id(ITEMS) not in (former, bytes(16))
    await delete_topic(kafka, topic_prefix + USER_EVENTS)
    again = a_bus(kafka, topic_prefix)
    await again.create_topics()
    assert again.topic_id(USER_EVENTS) != former
    assert again.topic_id(ITEMS) == bus.topic_id(ITEMS)
    with pytest.raises(
        FatalError, match=f"topic {topic_prefix}{USER_EVENTS} is another one: it was deleted and created"
    ):
        await asyncio.wait_for(bus.watch_topics(), 30)


@pytest.mark.usefixtures("quick")
async def test_nothing_is_refused_while_no_broker_answers(topic_prefix: str) -> None:
    watch = asyncio.create_task(a_bus("127.0.0.1:1", topic_prefix).watch_topics())
    await asyncio.sleep(1)
    assert not watch.done()
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)


class _ScriptedAdmin:
    """Answers the checks of a watch one by one, then ends the watch with CancelledError."""

    def __init__(self, *answers: Exception | None) -> None:
        self._answers = iter([*answers, asyncio.CancelledError()])
        self.asked = 0

    async def check_topics(self, _topic_ids: object) -> None:
        answer = next(self._answers)
        self.asked += 1
        if answer is not None:
            raise answer


@pytest.mark.unit
@pytest.mark.parametrize(
    ("answers", "ends_after"),
    [
        ([_WRONG], None),
        ([_WRONG, None, _WRONG, None, _WRONG], None),
        ([_UNREACHABLE, _UNREACHABLE, _UNREACHABLE], None),
        ([None, _WRONG, _WRONG, None], 3),
        # Nothing was seen to be right in between.
        ([_WRONG, _UNREACHABLE, _WRONG, None], 3),
    ],
)
async def test_a_single_failing_check_does_not_end_the_watch(
    monkeypatch: pytest.MonkeyPatch, answers: list[Exception | None], ends_after: int | None
) -> None:
    monkeypatch.setattr(bus_module, "WATCH_SEC", 0)
    bus, admin = a_bus("127.0.0.1:1", "p."), _ScriptedAdmin(*answers)
    monkeypatch.setattr(bus, "_admin", admin)
    with pytest.raises(TopicError if ends_after else asyncio.CancelledError):
        await bus.watch_topics()
    assert admin.asked == (ends_after or len(answers) + 1)


async def test_acls_need_an_authorizer(kafka: str, topic_prefix: str) -> None:
    settings = Settings(kafka_bootstrap_servers=kafka, topic_prefix=topic_prefix)
    acl = Acl("User:x", "Read", "topic", f"{topic_prefix}items", "literal")
    with pytest.raises(FatalError, match=r"cannot create ACLs: .*the brokers need an authorizer"):
        await asyncio.to_thread(apply_acls, settings, [acl])


async def test_writers_ignore_added_partitions(kafka: str, topic_prefix: str) -> None:
    """So that events over HTTP stay where they are read."""
    bus = a_bus(kafka, topic_prefix)
    await bus.create_topics()
    client = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await client.start()
    await client.create_partitions({topic_prefix + USER_EVENTS: NewPartitions(8)})
    await client.close()
    async with bus.producer() as producer:
        for number in range(40):
            sent = await (await producer.send(USER_EVENTS, f"u{number}", b"x"))
            assert sent.partition == bus.partition_of(f"u{number}") < 2
