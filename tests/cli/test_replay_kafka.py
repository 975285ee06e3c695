"""The replay on a real broker with a stand-in for the scorer; the tests read the published records."""

import asyncio
import io
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from rich.console import Console

from eddy.contract.codec import Codec, Record
from eddy.contract.message import Message
from eddy.contract.topics import RECOMMENDATION_REQUESTS, RECOMMENDATIONS, USER_EVENTS
from eddy.errors import FatalError
from eddy.kafka.bus import Bus
from eddy.settings import Settings
from eddy_cli.replay.app import ReplayRun, follow
from eddy_cli.replay.event_kind import MOVIELENS
from eddy_cli.replay.options import ReplayOptions
from eddy_cli.replay.outbox import Outbox
from eddy_cli.replay.progress import ProgressView, progress_view
from eddy_cli.replay.records import ReplayRecords
from eddy_cli.replay.tail import Tail
from tests.cli.answering import answer_requests
from tests.cli.streams import stream
from tests.poll import poll_until

SHOWN = [f"i{number}" for number in range(10)]


@pytest.fixture
async def bus(kafka: str, topic_prefix: str) -> Bus:
    own = Bus(Settings(kafka_bootstrap_servers=kafka, topic_prefix=topic_prefix))
    await own.create_topics()
    return own


def quiet_view(total: int) -> ProgressView:
    with progress_view(Console(file=io.StringIO()), total, 0.0) as view:
        return view


async def read(bus: Bus, topic: str) -> list[tuple[Message, Record]]:
    async with bus.reader(bus.topic_partitions(topic)) as reader:
        ends = await reader.end_offsets()
        messages: list[Message] = []
        while not await reader.at_end(ends):
            messages += await reader.batch()
        return [(message, Codec.for_topic(topic).decode(message.value)) for message in messages]


@asynccontextmanager
async def answering(bus: Bus) -> AsyncIterator[None]:
    task = asyncio.create_task(answer_requests(bus, SHOWN))
    yield
    task.cancel()
    await asyncio.wait([task])


async def run_replay(bus: Bus, users: list[int], items: list[int], options: ReplayOptions) -> ReplayRun:
    played = stream(users, items)
    records = ReplayRecords("run", MOVIELENS, 10, round(options.deadline_sec * 1000))
    async with (
        bus.producer() as producer,
        bus.reader(bus.topic_partitions(RECOMMENDATIONS)) as slates,
        bus.reader(Tail.topic_partitions(bus)) as outcomes,
    ):
        outbox = Outbox(bus, producer, (RECOMMENDATION_REQUESTS, USER_EVENTS))
        run = ReplayRun(played, options, records, outbox, bus)
        await follow(run, Tail(records), slates, outcomes, quiet_view(len(played)))
    return run


async def test_events_of_users_are_in_order_and_each_slate_precedes_its_interaction(bus: Bus) -> None:
    users = [number * 7 % 13 for number in range(400)]
    items = [number * 5 % 23 for number in range(400)]
    async with answering(bus):
        run = await run_replay(bus, users, items, ReplayOptions(window=50))
    observations = run.player.observations
    assert (observations.requests, observations.slates, observations.timeouts) == (400, 400, 0)
    assert observations.positions == [item if item < 10 else -1 for item in items]

    by_user: dict[str, list[tuple[Message, Record]]] = defaultdict(list)
    for message, event in await read(bus, USER_EVENTS):
        by_user[event["user_id"]].append((message, event))
    requests = {request["request_id"]: request for _, request in await read(bus, RECOMMENDATION_REQUESTS)}
    for user in set(users):
        own = [index for index, other in enumerate(users) if other == user]
        published = by_user[f"u{user}"]
        assert len(published) == 2 * len(own)
        last_offset = None
        for index, (_, impression), (message, action) in zip(own, published[::2], published[1::2], strict=True):
            request = requests[impression["request_id"]]
            assert (impression["action"], request["after_offset"]) == ("impression", last_offset)
            assert action["item_id"] == f"i{items[index]}"
            assert action["action"] == ("click" if items[index] < 10 else "rate")
            last_offset = message.offset


async def test_interaction_directly_follows_its_impression(bus: Bus) -> None:
    async with answering(bus):
        await run_replay(bus, [number % 40 for number in range(200)], [1] * 200, ReplayOptions())
    partitions: dict[int, list[Record]] = defaultdict(list)
    for message, event in await read(bus, USER_EVENTS):
        partitions[message.partition].append(event)
    for events in partitions.values():
        for impression, action in zip(events[::2], events[1::2], strict=True):
            assert impression["action"] == "impression"
            assert action["request_id"] == impression["request_id"]


async def test_users_continue_without_slates(bus: Bus) -> None:
    run = await run_replay(bus, [0, 0, 1], [1, 2, 3], ReplayOptions(deadline_sec=0.2))
    assert run.player.observations.timeouts == 3
    assert "3 requests without an answer" in run.remarks()
    assert Counter(event["action"] for _, event in await read(bus, USER_EVENTS)) == {"rate": 3}


async def test_missing_recommendations_end_in_one_line(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eddy_cli.replay.app._NO_SLATE_TIMEOUT_SEC", 1.0)
    with pytest.raises(ExceptionGroup) as caught:
        await run_replay(bus, [0] * 1000, [1] * 1000, ReplayOptions(deadline_sec=0.1))
    (error,) = caught.value.exceptions
    assert isinstance(error, FatalError)
    assert "Check that the scorer runs" in str(error)


async def test_outbox_reports_every_offset(bus: Bus) -> None:
    offsets: dict[int, int] = {}
    payloads = [bytes([number % 251]) * (number * 37 % 3000) + b"." for number in range(2000)]
    async with bus.producer() as producer:
        outbox = Outbox(bus, producer, (USER_EVENTS,))
        publishing = asyncio.create_task(outbox.run())
        for number, payload in enumerate(payloads):
            outbox.put(USER_EVENTS, 2, b"u", payload, offsets.__setitem__, number)
        await poll_until(lambda: outbox.empty)
        publishing.cancel()
        await asyncio.wait([publishing])
    assert sorted(offsets) == list(range(2000))
    async with bus.reader(bus.topic_partitions(USER_EVENTS, [2])) as reader:
        stored = {}
        while len(stored) < 2000:
            stored.update({message.offset: message.value for message in await reader.batch()})
    assert {number: stored[offset] for number, offset in offsets.items()} == dict(enumerate(payloads))
