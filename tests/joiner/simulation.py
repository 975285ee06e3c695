"""A partition without a broker: logs in memory, and a worker that can be discarded at any time."""

import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from eddy.contract.codec import Codec, Record
from eddy.contract.message import Message
from eddy.contract.scenarios import load_scenarios
from eddy.contract.topics import TRAINING_EXAMPLES
from eddy.paths import REPO_ROOT
from eddy_joiner.core.erasures import UserErasure
from eddy_joiner.core.events import JoinerEvent
from eddy_joiner.core.examples import encode_example, user_of
from eddy_joiner.core.outcomes import Erased, ImpressionOutcome, Outcome, Refused
from eddy_joiner.core.policy import AttributionPolicy
from eddy_joiner.core.restart_point import RestartPoint, restart_point
from eddy_joiner.core.slates import ServedSlate
from eddy_joiner.core.state import JoinState
from eddy_joiner.shell.intake import accept_event, accept_slate
from eddy_joiner.shell.partition_logs import PartitionLogs
from eddy_joiner.shell.rebuild import rebuild
from tests.joiner.factories import Activity, message_of

POLICY = AttributionPolicy(load_scenarios(REPO_ROOT / "scenarios.yaml"))
EXAMPLES = Codec.of("training_example")


@dataclass
class MemoryLog:
    """The interface of eddy_joiner.shell.partition_logs.PartitionLog over a list of messages, the first `visible` of which have arrived."""

    messages: list[Message]
    visible: int = 2**60
    offset: int = 0

    def seek(self, offset: int) -> None:
        self.offset = offset

    async def position(self) -> int:
        return self.offset

    async def end(self) -> int:
        return min(self.visible, len(self.messages))

    async def until(self, end: int) -> AsyncIterator[list[Message]]:
        while self.offset < min(end, len(self.messages)):
            batch = self.messages[self.offset : min(end, self.offset + 7)]
            self.offset += len(batch)
            yield batch


@dataclass
class SimulatedPartition:
    """The logs and the committed position, which survive a crash."""

    slates: list[Message]
    events: list[Message]
    output: list[Message] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    committed: tuple[int, str] | None = None

    @staticmethod
    def of(activity: Activity, appended_at: int | None = None) -> "SimulatedPartition":
        """The logs of an activity as it was lived, or with `appended_at` as it is replayed at that time."""
        slate_times, event_times = lived(activity)
        return SimulatedPartition(
            [
                message_of(record, offset, appended_at or slate_times[offset])
                for offset, record in enumerate(activity.slates)
            ],
            [
                message_of(record, offset, appended_at or event_times[offset])
                for offset, record in enumerate(activity.events)
            ],
        )

    def examples(self) -> dict[str, Record]:
        """The written examples by id, without wall-clock times. Raises AssertionError if an id was written twice."""
        examples: dict[str, Record] = {}
        for message in self.output:
            if message.tombstone:
                continue
            record = EXAMPLES.decode(message.value)
            example_id = record.pop("example_id")
            assert example_id not in examples, f"{example_id} was written twice"
            examples[example_id] = {**record, "labelled_at": 0, "acted_at": record["acted_at"] is not None}
        return examples


class SimulatedWorker:
    """A worker from one crash to the next."""

    def __init__(self, partition: SimulatedPartition) -> None:
        self.partition = partition
        self.slates = MemoryLog(partition.slates, visible=0)

    async def start(self, visible_slates: int) -> None:
        self.slates.visible = visible_slates
        committed, metadata = self.partition.committed or (None, None)
        logs = PartitionLogs(MemoryLog(self.partition.events), self.slates)  # type: ignore[arg-type]  # same interface
        output = MemoryLog(self.partition.output)
        restart = None if metadata is None else RestartPoint.decode(metadata)
        rebuilt = await rebuild(POLICY, logs, output, committed, restart, lambda: None)  # type: ignore[arg-type]
        self.state: JoinState = rebuilt.state
        self.position = rebuilt.position
        self.uncommitted: list[Outcome] = rebuilt.unwritten

    async def step(self, events: int, visible_slates: int) -> None:
        """One turn of the loop, without the commit."""
        self.slates.visible = visible_slates
        async for messages in self.slates.until(visible_slates):
            for message in messages:
                slate = accept_slate(message, POLICY)
                assert slate is not None
                self.uncommitted += self.state.add_slate(slate) if isinstance(slate, ServedSlate) else [slate]
        self.state.begin_batch(self.position, len(self.partition.output))
        for message in self.partition.events[self.position : self.position + events]:
            event = accept_event(message, POLICY)
            if isinstance(event, JoinerEvent):
                self.uncommitted += self.state.apply(event)
            elif isinstance(event, UserErasure):
                self.uncommitted += self.state.erase(event)
        self.position = min(self.position + events, len(self.partition.events))

    def commit(self) -> None:
        metadata = restart_point(self.state, self.position, self.slates.offset, len(self.partition.output)).encode()
        for outcome in self.uncommitted:
            if isinstance(outcome, Refused):
                self.partition.refused.append(outcome)
            elif isinstance(outcome, Erased):
                key, end = outcome.user_id.encode(), len(self.partition.output)
                self.partition.output.append(Message(TRAINING_EXAMPLES, 0, end, key, b"", 0, tombstone=True))
            elif not isinstance(outcome, ImpressionOutcome):
                value, end = encode_example(outcome, 0), len(self.partition.output)
                key = user_of(outcome).encode()
                self.partition.output.append(Message(TRAINING_EXAMPLES, 0, end, key, value, 0))
        self.uncommitted = []
        self.partition.committed = (self.position, metadata)

    def restart_point(self) -> RestartPoint:
        assert self.partition.committed is not None
        return RestartPoint.decode(self.partition.committed[1])


def lived(activity: Activity) -> tuple[list[int], list[int]]:
    """The append times of slates and events: the newest time of a record so far, since append times never go back."""
    slate_times: list[int] = []
    event_times: list[int] = []
    now = 0
    for record, before in zip(activity.slates, activity.events_before, strict=True):
        for event in activity.events[len(event_times) : before]:
            now = max(now, event["occurred_at"])
            event_times.append(now)
        now = max(now, record["requested_at"])
        slate_times.append(now)
    for event in activity.events[len(event_times) :]:
        now = max(now, event["occurred_at"])
        event_times.append(now)
    return slate_times, event_times


async def run_undisturbed(
    activity: Activity, appended_at: int | None = None
) -> tuple[SimulatedPartition, SimulatedWorker]:
    """One worker, one batch of all events, all slates available from the start; replayed if `appended_at` is given."""
    partition = SimulatedPartition.of(activity, appended_at)
    worker = SimulatedWorker(partition)
    await worker.start(len(activity.slates))
    await worker.step(len(activity.events), len(activity.slates))
    worker.commit()
    return partition, worker


async def run_disturbed(
    activity: Activity,
    rng: random.Random,
    crash: float,
    late_slates: int = 0,
    batch: int = 25,
    appended_at: int | None = None,
) -> tuple[SimulatedPartition, SimulatedWorker]:
    """Small batches, slates that arrive just in time (or up to `late_slates` slates late), and crashes before and after commits."""
    partition = SimulatedPartition.of(activity, appended_at)
    worker = SimulatedWorker(partition)
    await worker.start(0)
    while worker.position < len(activity.events):
        size = rng.randrange(1, batch)
        await worker.step(
            size, _slates_available(activity.events_before, worker.position + size, rng.randrange(late_slates + 1))
        )
        if rng.random() >= crash:
            worker.commit()
        if rng.random() < crash:
            worker = SimulatedWorker(partition)
            position = 0 if partition.committed is None else partition.committed[0]
            await worker.start(_slates_available(activity.events_before, position, 0))
    await worker.step(0, len(activity.slates))
    worker.commit()
    return partition, worker


def _slates_available(events_before: Sequence[int], events: int, late: int) -> int:
    due = sum(before < events for before in events_before)
    return max(0, due - late)
