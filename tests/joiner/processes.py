"""Joiners as processes on a real Kafka, fed by a life and read back."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from eddy.contract.codec import Codec, Record
from eddy.contract.message import Message
from eddy.contract.topics import DEAD_LETTERS, RECOMMENDATIONS, TRAINING_EXAMPLES, USER_EVENTS
from eddy.kafka.bus import Bus
from eddy.settings import Settings
from tests.joiner.factories import EVENTS, LISTS, SEC, Life, event_record
from tests.joiner.simulation import EXAMPLES, undisturbed
from tests.poll import poll_until
from tests.service import Service, read_all, running

SESSION_SEC = 6


def bus_of(servers: str, prefix: str) -> Bus:
    return Bus(Settings(kafka_bootstrap_servers=servers, topic_prefix=prefix))


class Joiners:
    """Starts joiners of one group, each on a disk of its own that is empty; those that still run are killed at the end."""

    def __init__(self, servers: str, prefix: str, folder: Path, stack: ExitStack) -> None:
        self._servers = servers
        self._prefix = prefix
        self._folder = folder
        self._stack = stack
        self._started = 0

    def start(self, instance: str, settings: dict[str, str] | None = None) -> Service:
        self._started += 1
        name = f"joiner-{self._started}"
        environment = {
            "EDDY_KAFKA_BOOTSTRAP_SERVERS": self._servers,
            "EDDY_TOPIC_PREFIX": self._prefix,
            "EDDY_STATE_DIR": str(self._folder / name),
            "EDDY_JOINER_INSTANCE_ID": instance,
            "EDDY_JOINER_SESSION_TIMEOUT_SEC": str(SESSION_SEC),
            "EDDY_JOINER_BATCH_EVENTS": "200",
            **(settings or {}),
        }
        return self._stack.enter_context(running("joiner", environment, self._folder / f"{name}.log"))


@contextmanager
def joiners(servers: str, prefix: str, folder: Path) -> Iterator[Joiners]:
    with ExitStack() as stack:
        yield Joiners(servers, prefix, folder, stack)


def by_partition(bus: Bus, life: Life) -> dict[int, Life]:
    """The same life as each partition sees it, with offsets as Kafka gives them, and an end that closes every window."""
    events: dict[int, list[Record]] = {number: [] for number in range(bus.partitions)}
    found = {number: Life([], events[number], []) for number in range(bus.partitions)}
    last: dict[str, int] = {}
    done = 0
    for record, before in zip(life.slates, life.list_before, strict=True):
        for event in life.events[done:before]:
            last[event["user_id"]] = _append(events[bus.partition_of(event["user_id"])], event)
        done = before
        own = found[bus.partition_of(record["user_id"])]
        own.list_before.append(len(own.events))
        own.slates.append({**record, "applied_offset": last.get(record["user_id"], -1)})
    for event in life.events[done:]:
        _append(events[bus.partition_of(event["user_id"])], event)
    for number, own in found.items():
        end = max(event["occurred_at"] for event in own.events) + 100_000 * SEC
        user = next(user for user in map(str, range(1000)) if bus.partition_of(user) == number)
        own.events.append(event_record(f"end-{number}", user, "search", end))
    return found


def _append(events: list[Record], event: Record) -> int:
    events.append(event)
    return len(events) - 1


async def feed(bus: Bus, lives: dict[int, Life], part: int, parts: int) -> None:
    """Write one of so many parts of every partition's life; its lists before its events."""
    async with bus.producer() as producer:
        for life in lives.values():
            first, last = (len(life.events) * number // parts for number in (part, part + 1))
            served = [
                record
                for record, before in zip(life.slates, life.list_before, strict=True)
                if first <= before < last or (part == parts - 1 and before >= last)
            ]
            await producer.send_all(RECOMMENDATIONS, [(each["user_id"], LISTS.encode(each)) for each in served])
            wanted = life.events[first:last]
            await producer.send_all(USER_EVENTS, [(each["user_id"], EVENTS.encode(each)) for each in wanted])


async def written(bus: Bus) -> int:
    """How far the output has grown, aborted records and markers included."""
    async with bus.reader([], isolation_level="read_uncommitted") as reader:
        return sum((await reader.end_offsets(bus.topic_partitions(TRAINING_EXAMPLES))).values())


async def all_joined(bus: Bus, timeout_sec: float = 90) -> None:
    """Wait until the end of user-events is committed."""
    async with bus.reader([]) as reader:
        ends = await reader.end_offsets(bus.topic_partitions(USER_EVENTS))

    async def done() -> bool:
        committed = await bus.committed("joiner", USER_EVENTS)
        return all(committed.get(place, 0) >= end for place, end in ends.items())

    await poll_until(done, timeout_sec, 0.2, "all user events committed")


async def expected_examples(lives: dict[int, Life]) -> dict[str, Record]:
    found: dict[str, Record] = {}
    for life in lives.values():
        partition, worker = await undisturbed(life)
        assert worker.state.open_impressions == 0
        found |= partition.examples()
    return found


def examples_of(messages: Sequence[Message], bus: Bus) -> dict[str, Record]:
    """Examples by id, without the wall clock. Raises AssertionError when one is there twice or in another's partition."""
    found: dict[str, Record] = {}
    for message in messages:
        record = EXAMPLES.decode(message.value)
        name = record.pop("example_id")
        assert name not in found, f"{name} was written twice"
        assert message.key == record["user_id"].encode()
        assert message.partition == bus.partition_of(record["user_id"])
        found[name] = {**record, "labelled_at": 0, "acted_at": record["acted_at"] is not None}
    return found


async def dead_letters(bus: Bus) -> list[Record]:
    return [Codec.of("dead_letter").decode(message.value) for message in await read_all(bus, DEAD_LETTERS)]
