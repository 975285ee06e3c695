"""Confluent's framing against a real registry, and against Confluent's own client."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiokafka
import httpx
import pytest
from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from eddy.contract.codec import Codec
from eddy.contract.topics import DEAD_LETTERS, RECOMMENDATIONS, TRAINING_EXAMPLES, USER_EVENTS, topics
from eddy.errors import DecodeError, FatalError
from eddy.kafka.bus import Bus
from eddy.kafka.framing import Framing, is_framed
from eddy.paths import REPO_ROOT, SCHEMAS
from eddy.settings import Settings, load
from eddy_cli.ports import HOST, free_port
from tests.poll import poll_until
from tests.scorer.factories import item
from tests.service import filled_slate, read_all, running_together

SERVICES = ("features", "scorer", "joiner", "trainer", "gateway")
EVENT = {
    "event_id": "e",
    "user_id": "u",
    "scenario": "video",
    "action": "play",
    "item_id": "i1",
    "value": None,
    "query": None,
    "request_id": None,
    "position": None,
    "occurred_at": 0,
    "attributes": {},
}


def settings_of(kafka: str, prefix: str, registry: str | None = None) -> dict[str, str]:
    environment = {"EDDY_KAFKA_BOOTSTRAP_SERVERS": kafka, "EDDY_TOPIC_PREFIX": prefix}
    return environment | ({"EDDY_SCHEMA_REGISTRY_URL": registry} if registry else {})


def register(registry: str, subject: str, schema: object, kind: str = "AVRO") -> int:
    """As somebody else registers a schema: its number."""
    text = json.dumps(schema) if kind == "AVRO" else schema
    answer = httpx.post(f"{registry}/subjects/{subject}/versions", json={"schema": text, "schemaType": kind})
    return int(answer.raise_for_status().json()["id"])


def forbid_changes(registry: str, subject: str) -> None:
    httpx.put(f"{registry}/config/{subject}", json={"compatibility": "FULL"}).raise_for_status()


def subjects(registry: str) -> set[str]:
    return set(httpx.get(f"{registry}/subjects").json())


async def raw_values(bus: Bus, topic: str) -> list[bytes]:
    """What lies in a topic, as it lies there."""
    partitions = [aiokafka.TopicPartition(*partition) for partition in bus.topic_partitions(topic)]
    async with aiokafka.AIOKafkaConsumer(bootstrap_servers=bus.servers, isolation_level="read_committed") as consumer:
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        values: list[bytes] = []
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            fetched = await consumer.getmany(timeout_ms=200)
            values += [record.value for records in fetched.values() for record in records if record.value is not None]
    return values


@pytest.mark.stack
async def test_loop_runs_in_confluents_framing(kafka: str, registry: str, topic_prefix: str, tmp_path: Path) -> None:
    environment = settings_of(kafka, topic_prefix, registry)
    schema = (SCHEMAS / "user_event.avsc").read_text()
    topic = topic_prefix + USER_EVENTS
    state = {"EDDY_STATE_DIR": str(tmp_path / "state")}
    with (
        SchemaRegistryClient({"url": registry}) as client,
        running_together(SERVICES, environment | state, tmp_path) as services,
    ):
        gateway = services["gateway"]
        for number in range(5):
            gateway.ask("PUT", f"/v1/items/i{number}", {"title": f"Item {number}"})
        # One event as Confluent's client writes it, one in the single-object encoding of who knows no registry.
        event = EVENT | {"occurred_at": int(time.time() * 1000)}
        value = AvroSerializer(client, schema)(event, SerializationContext(topic, MessageField.VALUE))
        producer = Producer({"bootstrap.servers": kafka, "partitioner": "murmur2_random"})
        producer.produce(topic, key="u", value=value)
        plain = event | {"event_id": "f", "user_id": "v", "item_id": "i2"}
        producer.produce(topic, key="v", value=Codec.of("user_event").encode(plain))
        assert producer.flush(30) == 0
        for user in ("u", "v"):
            listed = await filled_slate(gateway, f"/v1/recommendations/{user}?scenario=video", 4)  # one of five is seen
        answer = {"user_id": "v", "scenario": "video", "request_id": listed["request_id"]}
        gateway.ask("POST", "/v1/events", answer | {"action": "impression"})
        gateway.ask("POST", "/v1/events", answer | {"action": "click", "item_id": listed["items"][0]["item_id"]})
        trainer = services["trainer"]
        await poll_until(lambda: trainer.metric("eddy_trainer_releases_total") > 0, 60, what="a release")
        await poll_until(lambda: trainer.metric("eddy_trainer_examples_total") >= 4, 60, what="all examples")
        gateway.ask("DELETE", "/v1/items/i4")

    bus = Bus(load(Settings, environment))
    assert await read_all(bus, DEAD_LETTERS) == []
    assert len(await read_all(bus, TRAINING_EXAMPLES)) >= 4
    lies = {name: await raw_values(bus, name) for name in set(topics()) - {DEAD_LETTERS}}
    lies[USER_EVENTS].remove(Codec.of("user_event").encode(plain))
    for name, values in lies.items():
        assert values, name
        assert all(map(is_framed, values))
    where = SerializationContext(topic_prefix + RECOMMENDATIONS, MessageField.VALUE)
    with SchemaRegistryClient({"url": registry}) as client:
        read = AvroDeserializer(client)
        served: list[Any] = [read(value, where) for value in lies[RECOMMENDATIONS]]
    assert listed["request_id"] in {record["request_id"] for record in served}
    assert subjects(registry) >= {f"{topic_prefix}{name}-value" for name in set(topics()) - {DEAD_LETTERS}}


async def test_schema_of_another_producer_is_resolved(registry: str) -> None:
    """Fields that have a default may be missing, others may be there, as Avro's schema resolution has it."""
    own = {
        "type": "record",
        "name": "com.shop.UserEvent",
        "fields": [
            {"name": "shop", "type": "string"},
            {"name": "user_id", "type": "string"},
            {"name": "event_id", "type": "string"},
            {"name": "scenario", "type": "string"},
            {"name": "action", "type": "string"},
            {"name": "occurred_at", "type": "long"},
        ],
    }
    foreign = Codec("com.shop.UserEvent", own, [])
    body = foreign.encode({"shop": "s", **{name: EVENT[name] for name in [f["name"] for f in own["fields"][1:]]}})[10:]
    number = register(registry, "a-shop-value", own)
    message = b"\0" + number.to_bytes(4) + body
    assert is_framed(message)
    read = await Framing(registry).unframe(USER_EVENTS, message)
    assert Codec.of("user_event").decode(read) == EVENT | {"item_id": None}


async def test_logical_types_of_other_writers_are_dropped(registry: str) -> None:
    """A logical type is read as the number or string that it stands for."""
    own = {
        "type": "record",
        "name": "UserEvent",
        "fields": [
            *({"name": name, "type": "string"} for name in ("user_id", "scenario", "action")),
            {"name": "event_id", "type": {"type": "string", "logicalType": "uuid"}},
            {"name": "occurred_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        ],
    }
    identity = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
    plain = {
        **own,
        "fields": [
            *own["fields"][:3],
            *({"name": n, "type": t} for n, t in (("event_id", "string"), ("occurred_at", "long"))),
        ],
    }
    body = Codec("UserEvent", plain, []).encode(
        {name: EVENT[name] for name in ("user_id", "scenario", "action", "occurred_at")} | {"event_id": identity}
    )[10:]
    message = b"\0" + register(registry, "logical-value", own).to_bytes(4) + body
    read = Codec.of("user_event").decode(await Framing(registry).unframe(USER_EVENTS, message))
    assert (read["event_id"], read["occurred_at"]) == (identity, 0)


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ("string", "AVRO"),
        (["null", "string"], "AVRO"),
        ({"type": "enum", "name": "Colour", "symbols": ["RED"]}, "AVRO"),
        ('syntax = "proto3"; message UserEvent { string user_id = 1; }', "PROTOBUF"),
    ],
)
async def test_schema_id_of_another_type_leaves_the_message_unchanged(registry: str, schema: object, kind: str) -> None:
    number = register(registry, f"something-else-{kind}-{len(str(schema))}", schema, kind)
    message = b"\0" + number.to_bytes(4) + b"body"
    assert await Framing(registry).unframe(USER_EVENTS, message) == message


async def test_another_records_schema_is_refused(registry: str) -> None:
    encoded = Codec.of("item").encode(item("i"))
    framing = Framing(registry)
    message = await framing.frame("items", "other.items", encoded)
    assert message is not None
    with pytest.raises(DecodeError, match="encoded as item, not as user_event"):
        Codec.of("user_event").decode(await framing.unframe(USER_EVENTS, message))


async def test_unknown_schema_id_leaves_the_message_unchanged(registry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    message = b"\0\x7f\xff\xff\xff body"
    framing = Framing(registry)
    assert await framing.unframe(USER_EVENTS, message) == message
    # It is not asked about again for a while.
    monkeypatch.setattr(framing._registry, "schema", None)
    assert await framing.unframe(USER_EVENTS, message) == message


async def test_dead_letter_without_a_registry_names_the_setting(kafka: str, topic_prefix: str) -> None:
    message = b"\0\0\0\0\1 body"
    assert await Framing(None).unframe(USER_EVENTS, message) == message
    with pytest.raises(DecodeError, match="Set EDDY_SCHEMA_REGISTRY_URL"):
        Codec.of("user_event").decode(message)


async def test_value_without_header_is_written_unchanged(registry: str) -> None:
    framing = Framing(registry)
    for value in (None, b"", b"anything", b"\xc3\x01 another header"):
        assert await framing.frame(USER_EVENTS, "t", value) == value


@pytest.mark.broker
async def test_unreachable_registry_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eddy.kafka.registry.TIMEOUT_SEC", 0.0)
    unreachable = Framing(f"http://user:secret@{HOST}:{free_port()}")
    for request in (
        unreachable.unframe(USER_EVENTS, b"\0\0\0\0\1 body"),
        unreachable.frame(USER_EVENTS, USER_EVENTS, Codec.of("user_event").encode(EVENT)),
    ):
        with pytest.raises(FatalError, match=f"no schema registry at {HOST}: start it or unset") as refused:
            await request
        assert "secret" not in str(refused.value)


@pytest.mark.broker
def test_every_process_gets_the_same_schema_id(registry: str) -> None:
    program = f"""
import asyncio
from eddy.contract.codec import Codec
from eddy.kafka.framing import Framing

header = Codec.of("training_example").header
print(asyncio.run(Framing({registry!r}).frame("training-examples", "same.training-examples", header)))
"""
    heads = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=REPO_ROOT,
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(heads) == 1


async def test_schema_that_the_registry_rejects_is_an_error(registry: str) -> None:
    subject = "strict.user-events-value"
    register(
        registry, subject, {"type": "record", "name": "eddy.UserEvent", "fields": [{"name": "gone", "type": "string"}]}
    )
    forbid_changes(registry, subject)
    with pytest.raises(FatalError, match=f"rejects the schema of {subject}"):
        await Framing(registry).frame(USER_EVENTS, "strict.user-events", Codec.of("user_event").encode(EVENT))


def test_client_of_the_registry_is_only_imported_with_a_registry() -> None:
    program = "import sys, eddy.kafka.bus; from eddy.kafka.framing import Framing; Framing(None); print('schema_registry' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
