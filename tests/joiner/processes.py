"""Joiners as processes on a real Kafka, with random activity as input and their output read back."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

from eddy.contract.codec import Codec, Record
from eddy.contract.message import Message
from eddy.contract.topics import DEAD_LETTERS, RECOMMENDATIONS, TRAINING_EXAMPLES, USER_EVENTS
from eddy.kafka.bus import Bus
from eddy.settings import Settings
from tests.joiner.factories import EVENTS, REPLAYED_AT, SEC, SLATES, Activity, event_record
from tests.joiner.simulation import EXAMPLES, run_undisturbed
from tests.poll import QUERY_INTERVAL_SEC, poll_until
from tests.service import Service, read_all, running

SESSION_SEC = 6


def bus_of(servers: str, prefix: str) -> Bus:
    return Bus(Settings(kafka_bootstrap_servers=servers, topic_prefix=prefix))


class Joiners:
    """Starts joiners of one group, each with an empty state directory. Running joiners are killed at the end."""

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
            "EDDY_JOINER_LATENESS_SEC": "0",  # as in the simulation
            **(settings or {}),
        }
        return self._stack.enter_context(running("joiner", environment, self._folder / f"{name}.log"))


@contextmanager
def joiners(servers: str, prefix: str, folder: Path) -> Iterator[Joiners]:
    with ExitStack() as stack:
        yield Joiners(servers, prefix, folder, stack)


def by_partition(bus: Bus, activity: Activity) -> dict[int, Activity]:
    """The activity of each partition, with offsets as Kafka assigns them, and a last event that closes every window."""
    events: dict[int, list[Record]] = {number: [] for number in range(bus.partitions)}
    activities = {number: Activity([], events[number], []) for number in range(bus.partitions)}
    last: dict[str, int] = {}
    done = 0
    for record, before in zip(activity.slates, activity.events_before, strict=True):
        for event in activity.events[done:before]:
            last[event["user_id"]] = _append(events[bus.partition_of(event["user_id"])], event)
        done = before
        own = activities[bus.partition_of(record["user_id"])]
        own.events_before.append(len(own.events))
        own.slates.append({**record, "applied_offset": last.get(record["user_id"], -1)})
    for event in activity.events[done:]:
        _append(events[bus.partition_of(event["user_id"])], event)
    for number, own in activities.items():
        end = max(event["occurred_at"] for event in own.events) + 100_000 * SEC
        for user in islice((user for user in map(str, range(1000)) if bus.partition_of(user) == number), 2):
            own.events.append(event_record(f"end-{number}-{user}", user, "search", end))
    return activities


def _append(events: list[Record], event: Record) -> int:
    events.append(event)
    return len(events) - 1


async def feed(bus: Bus, activities: dict[int, Activity], part: int, parts: int) -> None:
    """Publish part `part` of `parts` of every partition's activity: the slates, then the events."""
    async with bus.producer() as producer:
        for activity in activities.values():
            first, last = (len(activity.events) * number // parts for number in (part, part + 1))
            slates = [
                record
                for record, before in zip(activity.slates, activity.events_before, strict=True)
                if first <= before < last or (part == parts - 1 and before >= last)
            ]
            await producer.send_all(RECOMMENDATIONS, [(slate["user_id"], SLATES.encode(slate)) for slate in slates])
            events = activity.events[first:last]
            await producer.send_all(USER_EVENTS, [(event["user_id"], EVENTS.encode(event)) for event in events])


async def written(bus: Bus) -> int:
    """Sum of the end offsets of training-examples, including aborted records and transaction markers."""
    async with bus.reader([], isolation_level="read_uncommitted") as reader:
        return sum((await reader.end_offsets(bus.topic_partitions(TRAINING_EXAMPLES))).values())


async def all_joined(bus: Bus, timeout_sec: float = 90) -> None:
    """Wait until the group has committed the end of user-events."""
    async with bus.reader([]) as reader:
        ends = await reader.end_offsets(bus.topic_partitions(USER_EVENTS))

    async def done() -> bool:
        committed = await bus.committed("joiner", USER_EVENTS)
        return all(committed.get(partition, 0) >= end for partition, end in ends.items())

    await poll_until(done, timeout_sec, QUERY_INTERVAL_SEC, "all user events committed")


async def expected_examples(activities: dict[int, Activity]) -> dict[str, Record]:
    examples: dict[str, Record] = {}
    for activity in activities.values():
        partition, worker = await run_undisturbed(activity, REPLAYED_AT)
        assert worker.state.open_impressions == 0
        examples |= partition.examples()
    return examples


def examples_of(messages: Sequence[Message], bus: Bus) -> dict[str, Record]:
    """Examples by id, without wall-clock times. Raises AssertionError if an id occurs twice or in another user's partition."""
    examples: dict[str, Record] = {}
    for message in messages:
        record = EXAMPLES.decode(message.value)
        example_id = record.pop("example_id")
        assert example_id not in examples, f"{example_id} was written twice"
        assert message.key == record["user_id"].encode()
        assert message.partition == bus.partition_of(record["user_id"])
        examples[example_id] = {**record, "labelled_at": 0, "acted_at": record["acted_at"] is not None}
    return examples


async def dead_letters(bus: Bus) -> list[Record]:
    return [Codec.of("dead_letter").decode(message.value) for message in await read_all(bus, DEAD_LETTERS)]
