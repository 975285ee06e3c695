"""Users and an item are erased while events of theirs are under way and services restart: no topic, store or log has them afterwards.

Users have pseudonyms, so that the raw ids must be nowhere at any time, and the pseudonyms nowhere but in logs that are kept for a time.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from eddy.contract.codec import Codec
from eddy.contract.digests import digest_of
from eddy.contract.erasure import ITEM, USER, Kind
from eddy.contract.pseudonym import pseudonym
from eddy.contract.topics import (
    DEAD_LETTERS,
    ERASURES,
    ITEM_FEATURES,
    USER_EVENTS,
    USER_FEATURES,
    topics,
)
from eddy.kafka.bus import Bus
from eddy.paths import REPO_ROOT
from eddy.settings import Settings, load
from tests.poll import QUERY_INTERVAL_SEC, poll_until
from tests.service import Service, filled_slate, logs_in, running

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

SERVICES = ("gateway", "features", "scorer", "joiner", "trainer")
KEY = "a-key-of-pseudonyms-for-this-test"
ITEMS = 24
KEPT_FOR_A_TIME = {name for name, topic in topics().items() if topic.cleanup == "delete"}


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as the broker has it, of an aborted transaction too."""

    topic: str
    key: bytes
    value: bytes | None
    headers: bytes

    def contains(self, wanted: bytes) -> bool:
        return wanted in self.key or wanted in (self.value or b"") or wanted in self.headers


class World:
    """The five services on a real broker."""

    def __init__(self, environment: Mapping[str, str], folder: Path, resources: ExitStack) -> None:
        self._environment, self._folder, self._resources = environment, folder, resources
        self.bus = Bus(load(Settings, dict(environment)))
        self.services: dict[str, Service] = {}
        self._starts = 0

    @property
    def gateway(self) -> Service:
        return self.services["gateway"]

    def start(self, *names: str, **settings: str) -> None:
        for name in names:
            self._starts += 1
            log = self._folder / f"{self._starts}-{name}.log"
            environment = {**self._environment, **settings}
            self.services[name] = self._resources.enter_context(running(name, environment, log))

    async def ready(self) -> None:
        for service in self.services.values():
            if service.process.poll() is None:
                await service.ready(120)

    def post(self, *events: Mapping[str, Any]) -> None:
        answer = self.gateway.ask("POST", "/v1/events", list(events))  # type: ignore[arg-type]  # a list is JSON too
        assert len(answer.get("accepted", ())) == len(events), answer

    async def order_erasure(self, name: str, kind: Kind) -> None:
        order = {"id": name, "kind": kind, "requested_at": 1, "erased_offset": None}
        async with self.bus.producer() as producer:
            await (await producer.send(ERASURES, name, Codec.for_topic(ERASURES).encode(order)))

    async def publish_with_wrong_key(self, user: str) -> None:
        """An event that every reader refuses: it ends as a dead letter, which the services log."""
        event = {
            "event_id": "e",
            "user_id": user,
            "scenario": "video",
            "action": "play",
            "item_id": "i1",
            "attributes": {},
        }
        optional = dict.fromkeys(("value", "query", "request_id", "position"))
        record = Codec.for_topic(USER_EVENTS).encode({**event, **optional, "occurred_at": 1_700_000_000_000})
        async with self.bus.producer() as producer:
            await (await producer.send(USER_EVENTS, f"not {user}", record))

    async def stored(self) -> list[Stored]:
        """Every record of every topic."""
        client = AIOKafkaConsumer(bootstrap_servers=self.bus.servers, isolation_level="read_uncommitted")
        await client.start()
        try:
            names = await self.bus.existing_topics()
            partitions = [TopicPartition(name, number) for name in names for number in range(self.bus.partitions)]
            client.assign(partitions)
            await client.seek_to_beginning(*partitions)
            ends = await client.end_offsets(partitions)
            records = []
            while any([await client.position(each) < ends[each] for each in partitions]):
                for batch in (await client.getmany(timeout_ms=200)).values():
                    records += [
                        Stored(
                            self.bus.short_name(each.topic), each.key or b"", each.value, repr(each.headers).encode()
                        )
                        for each in batch
                    ]
        finally:
            await client.stop()
        return records

    async def topics_with(self, wanted: bytes) -> set[str]:
        return {record.topic for record in await self.stored() if record.contains(wanted)}

    async def compacted_with(self, wanted: bytes) -> set[str]:
        """The compacted topics that still have `wanted` once the broker has compacted them: the newest record of each key counts."""
        newest = {(record.topic, record.key): record for record in await self.stored()}
        return {
            record.topic
            for record in newest.values()
            if record.topic not in KEPT_FOR_A_TIME and record.value is not None and record.contains(wanted)
        }

    async def compacted_with_key(self, key: str) -> set[str]:
        """The compacted topics whose newest record of `key` is no tombstone."""
        newest = {record.topic: record for record in await self.stored() if record.key == key.encode()}
        return {name for name, record in newest.items() if name not in KEPT_FOR_A_TIME and record.value is not None}

    async def assert_nothing_left(self, users: Sequence[str], aliases: Sequence[bytes], item: str) -> None:
        """No user is left, but in topics that are kept for a documented time; and no record of the item."""
        documented = (REPO_ROOT / "docs" / "erasure.md").read_text().partition("Topics that are kept for a time")[2]
        for name in map(str.encode, users):
            assert not await self.topics_with(name)
        for name in aliases:
            assert not await self.compacted_with(name)
            assert not await self.compacted_with(digest_of(name.decode()))
            kept = await self.topics_with(name) & KEPT_FOR_A_TIME
            assert USER_EVENTS in kept
            assert (DEAD_LETTERS in kept) == (name == aliases[-1])
            assert all(f"`{topic}`" in documented for topic in kept)
        digests = [digest_of(name.decode()) for name in aliases]
        for name in (*map(str.encode, users), *aliases, *digests, item.encode()):
            assert not self.files_with(name)
            assert not self.answers_with(name)
        assert not await self.compacted_with_key(item)
        # Histories of others, and the co-visitations of other items, name the item until newer ones replace it.
        assert await self.compacted_with(item.encode()) <= {USER_FEATURES, ITEM_FEATURES}

    def files_with(self, wanted: bytes) -> set[str]:
        """The files of all services, their logs among them."""
        files = [path for path in self._folder.rglob("*") if path.is_file() and not path.name.endswith("-journal")]
        assert len(files) > len(SERVICES)
        return {str(path.relative_to(self._folder)) for path in files if wanted in contents_of(path)}

    def answers_with(self, wanted: bytes) -> set[str]:
        """The services whose metrics or readiness contain `wanted`."""
        paths = ("/metrics", "/readyz")
        answers = {name: "".join(map(str, map(service.answer, paths))) for name, service in self.services.items()}
        return {name for name, answer in answers.items() if wanted.decode(errors="replace") in answer}


def contents_of(path: Path) -> bytes:
    """The bytes of a file, and whatever is compressed in it: pages that SQLite has freed are searched as well."""
    content = path.read_bytes()
    parts, start = [content], content.find(b"\x78\x01")
    while start >= 0:
        with suppress(zlib.error):
            parts.append(zlib.decompressobj().decompress(content[start : start + 4096]))
        start = content.find(b"\x78\x01", start + 1)
    return b"\0".join(parts)


@pytest.fixture
def world(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[World]:
    environment = {
        "EDDY_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "EDDY_TOPIC_PREFIX": topic_prefix,
        "EDDY_TOPIC_PARTITIONS": "2",
        "EDDY_STATE_DIR": str(tmp_path / "state"),
        "EDDY_PSEUDONYM_KEY": KEY,
        "EDDY_TEXT_MODEL": "",
        "EDDY_FEATURES_INSTANCE_ID": "features",
        "EDDY_JOINER_INSTANCE_ID": "joiner",
        "EDDY_SCORER_INSTANCE_ID": "scorer",
    }
    with ExitStack() as resources:
        yield World(environment, tmp_path, resources)


async def act(world: World, user: str, item: str) -> None:
    """A user asks, sees, clicks, rates, rejects and searches."""
    slate = await filled_slate(world.gateway, f"/v1/recommendations/{user}?scenario=video&limit=5", 5)
    request = {"request_id": slate["request_id"]}
    world.post(
        {"user_id": user, "scenario": "video", "action": "impression", **request},
        {"user_id": user, "scenario": "video", "action": "click", "item_id": slate["items"][0]["item_id"], **request},
        {"user_id": user, "scenario": "video", "action": "play", "item_id": item, "value": 600},
        {"user_id": user, "scenario": "video", "action": "rate", "item_id": "i1", "value": 5},
        {"user_id": user, "scenario": "video", "action": "skip", "item_id": "i2"},
        {"user_id": user, "scenario": "video", "action": "search", "query": "harbour"},
        {"user_id": user, "scenario": "video", "action": "play", "item_id": "i3", "value": 600},
    )


async def test_no_topic_store_or_log_has_what_was_erased(world: World, tmp_path: Path) -> None:
    number = uuid4().hex
    anna, bert, item = f"anna-{number}@example.org", f"bert-{number}@example.org", f"doomed-{number}"
    aliases = {user: pseudonym(user, KEY) for user in (anna, bert)}
    erased = [alias.encode() for alias in aliases.values()]
    await world.bus.create_topics()
    world.start(*SERVICES, EDDY_TRAINER_CHECKPOINT_INTERVAL_SEC="1")
    await world.ready()
    for name in (*(f"i{each}" for each in range(ITEMS)), item):
        world.gateway.ask("PUT", f"/v1/items/{name}", {"title": f"Title of {name}", "categories": ["film"]})
    for user in (anna, bert, "carl", "dora"):
        await act(world, user, item)
    await world.publish_with_wrong_key(aliases[bert])

    # The search finds what is stored, in the checkpoint and in topics.
    def saved() -> bool:
        return all(any(".ckpt" in path for path in world.files_with(name)) for name in (*erased, item.encode()))

    await poll_until(saved, 120, QUERY_INTERVAL_SEC, "a checkpoint with both users and the item")
    assert world.services["trainer"].stop() == 0, logs_in(tmp_path)
    for name in (*erased, item.encode()):
        assert USER_FEATURES in await world.compacted_with(name)
    assert world.gateway.ask("GET", f"/v1/users/{anna}")["user_id"] == anna

    # Both act again, and are erased while nobody reads: what was sent before the erasure is under way.
    for service in ("features", "joiner"):
        world.services[service].kill()
    for user in (anna, bert):
        slate = world.gateway.ask("GET", f"/v1/recommendations/{user}?scenario=video&limit=5")
        event = {"user_id": user, "scenario": "video", "request_id": slate["request_id"]}
        world.post({**event, "action": "impression"}, {**event, "action": "like", "item_id": item})
    assert world.gateway.ask("DELETE", f"/v1/users/{anna}") == {"user_id": anna}
    await world.order_erasure(aliases[bert], USER)
    await world.order_erasure(item, ITEM)
    world.start("features", "joiner", "trainer", EDDY_TRAINER_CHECKPOINT_INTERVAL_SEC="3600")  # but after an erasure
    await world.ready()

    async def forgotten() -> bool:
        left = [await world.compacted_with(name) | world.files_with(name) for name in erased]
        rows_left = await world.compacted_with_key(item) | world.files_with(item.encode())
        return not any(left) and not rows_left

    await poll_until(forgotten, 120, QUERY_INTERVAL_SEC, "both users and the item forgotten")
    world.services["scorer"].kill()
    world.start("scorer")
    await world.ready()
    await world.assert_nothing_left((anna, bert), erased, item)

    # What anna does now is of a new user, with the same pseudonym.
    world.post({"user_id": anna, "scenario": "video", "action": "play", "item_id": "i5", "value": 600})

    async def begun_anew() -> list[str]:
        known = world.gateway.ask("GET", f"/v1/users/{anna}")
        return [each["item_id"] for each in known.get("interactions", ())]

    assert await poll_until(begun_anew, 30, QUERY_INTERVAL_SEC, "a new user") == ["i5"]
    assert not await world.topics_with(anna.encode())
    assert not world.files_with(anna.encode())
