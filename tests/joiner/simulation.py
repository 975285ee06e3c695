"""A partition without a broker: logs in memory, and a worker that dies whenever it is told to."""

import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from eddy.contract.codec import Codec, Record
from eddy.contract.message import Message
from eddy.contract.scenarios import load_scenarios
from eddy.contract.topics import TRAINING_EXAMPLES
from eddy.paths import REPO_ROOT
from eddy_joiner.core.events import JoinerEvent
from eddy_joiner.core.examples import encode_example
from eddy_joiner.core.outcomes import ImpressionOutcome, Outcome, Refused
from eddy_joiner.core.policy import AttributionPolicy
from eddy_joiner.core.rewind import Rewind, rewind_of
from eddy_joiner.core.slates import ServedSlate
from eddy_joiner.core.state import JoinState
from eddy_joiner.shell.intake import accept_event, accept_slate
from eddy_joiner.shell.logs import Logs
from eddy_joiner.shell.rebuild import rebuild
from tests.joiner.factories import Life, message_of

POLICY = AttributionPolicy(load_scenarios(REPO_ROOT / "scenarios.yaml"))
EXAMPLES = Codec.of("training_example")


@dataclass
class MemoryLog:
    """The interface of eddy_joiner.shell.logs.Log over a list of messages; `visible` of them are there."""

    messages: list[Message]
    visible: int = 2**60
    at: int = 0

    def seek(self, offset: int) -> None:
        self.at = offset

    async def position(self) -> int:
        return self.at

    async def end(self) -> int:
        return min(self.visible, len(self.messages))

    async def until(self, end: int) -> AsyncIterator[list[Message]]:
        while self.at < min(end, len(self.messages)):
            found = self.messages[self.at : min(end, self.at + 7)]
            self.at += len(found)
            yield found


@dataclass
class Partition:
    """What survives a crash."""

    slates: list[Message]
    events: list[Message]
    own: list[Message] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    committed: tuple[int, str] | None = None

    @staticmethod
    def of(life: Life) -> "Partition":
        return Partition(
            [message_of(record, offset) for offset, record in enumerate(life.slates)],
            [message_of(record, offset) for offset, record in enumerate(life.events)],
        )

    def examples(self) -> dict[str, Record]:
        """What was written, by id, without the wall clock. Raises AssertionError when an id was written twice."""
        found: dict[str, Record] = {}
        for message in self.own:
            record = EXAMPLES.decode(message.value)
            name = record.pop("example_id")
            assert name not in found, f"{name} was written twice"
            found[name] = {**record, "labelled_at": 0, "acted_at": record["acted_at"] is not None}
        return found


class SimulatedWorker:
    """A worker's life between two crashes."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.slates = MemoryLog(partition.slates, visible=0)
        self.shown = self.took_over = 0

    async def start(self, visible_lists: int) -> None:
        self.slates.visible = visible_lists
        place, metadata = self.partition.committed or (None, None)
        logs = Logs(MemoryLog(self.partition.events), self.slates)  # type: ignore[arg-type]  # same interface
        own = MemoryLog(self.partition.own)
        rewind = None if metadata is None else Rewind.decode(metadata)
        rebuilt = await rebuild(POLICY, logs, own, place, rewind, lambda: None)  # type: ignore[arg-type]
        self.state: JoinState = rebuilt.state
        self.position = rebuilt.position
        self.pending: list[Outcome] = rebuilt.owed
        self.took_over = self.state.open_impressions

    async def step(self, events: int, visible_lists: int) -> None:
        """One turn of the loop without its commit."""
        self.slates.visible = visible_lists
        async for messages in self.slates.until(visible_lists):
            for message in messages:
                found = accept_slate(message, POLICY)
                assert found is not None
                self.pending += self.state.add_slate(found) if isinstance(found, ServedSlate) else [found]
        self.state.begin_batch(self.position, len(self.partition.own))
        for message in self.partition.events[self.position : self.position + events]:
            event = accept_event(message, POLICY)
            if isinstance(event, JoinerEvent):
                self.pending += self.state.apply(event)
        self.position = min(self.position + events, len(self.partition.events))

    def commit(self) -> None:
        metadata = rewind_of(self.state, self.position, self.slates.at, len(self.partition.own)).encode()
        for outcome in self.pending:
            if isinstance(outcome, Refused):
                self.partition.refused.append(outcome)
            elif not isinstance(outcome, ImpressionOutcome):
                value = encode_example(outcome, 0)
                self.partition.own.append(Message(TRAINING_EXAMPLES, 0, len(self.partition.own), b"", value, 0))
        self.pending = []
        self.partition.committed = (self.position, metadata)

    def rewind(self) -> Rewind:
        assert self.partition.committed is not None
        return Rewind.decode(self.partition.committed[1])


async def undisturbed(life: Life) -> tuple[Partition, SimulatedWorker]:
    """One worker, everything in one batch, all lists there from the start."""
    partition = Partition.of(life)
    worker = SimulatedWorker(partition)
    await worker.start(len(life.slates))
    await worker.step(len(life.events), len(life.slates))
    worker.commit()
    return partition, worker


async def disturbed(
    life: Life, rng: random.Random, crash: float, late_lists: int = 0, batch: int = 25
) -> tuple[Partition, SimulatedWorker]:
    """Small batches, lists that are just there (or `late_lists` too late), and crashes before and after commits."""
    partition = Partition.of(life)
    worker = SimulatedWorker(partition)
    await worker.start(0)
    while worker.position < len(life.events):
        size = rng.randrange(1, batch)
        await worker.step(size, _lists_there(life.list_before, worker.position + size, rng.randrange(late_lists + 1)))
        if rng.random() >= crash:
            worker.commit()
        if rng.random() < crash:
            worker = SimulatedWorker(partition)
            here = 0 if partition.committed is None else partition.committed[0]
            await worker.start(_lists_there(life.list_before, here, 0))
    await worker.step(0, len(life.slates))
    worker.commit()
    return partition, worker


def _lists_there(list_before: Sequence[int], events: int, late: int) -> int:
    there = sum(before < events for before in list_before)
    return max(0, there - late)
