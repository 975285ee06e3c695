"""Reads `items` and `training-examples`: all partitions, without a consumer group. Offsets are kept in the checkpoint."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from eddy.contract.checks import check_partition
from eddy.contract.codec import Codec
from eddy.contract.items import check_item
from eddy.contract.message import Message, TopicPartition
from eddy.contract.records import Item
from eddy.errors import PoisonError
from eddy.kafka.bus import Bus, Reader
from eddy.kafka.dead_letters import DeadLetters, Refusal
from eddy.kafka.gaps import note_gap
from eddy.metrics import BATCH_RECORDS, RECORDS
from eddy_trainer.core.examples import Example, ExampleParser
from eddy_trainer.core.learner import ItemContent

SERVICE = "trainer"
T = TypeVar("T")


class TopicIntake:
    """The messages of one topic, and the next offset of each partition."""

    def __init__(self, topic: str, reader: Reader, bus: Bus) -> None:
        self._topic = topic
        self._reader = reader
        self._partitions = bus.topic_partitions(topic)
        self._partition_of = bus.partition_of_key
        self.next_offsets = [0] * bus.partitions

    async def seek(self, offsets: Sequence[int]) -> None:
        """Seek to these offsets, 0 for the beginning. One that the log does not have any more, or not yet, is a gap: the partition is read
        from its beginning."""
        ends = await self._reader.end_offsets(self._partitions)
        starts = await self._reader.beginning_offsets(self._partitions)
        for number, (partition, offset) in enumerate(zip(self._partitions, offsets, strict=True)):
            start = starts[partition]
            if offset:
                start = note_gap(self._topic, number, offset, start, ends[partition])
            self.next_offsets[number] = start
            self._reader.seek(partition, start)

    async def ends(self) -> dict[TopicPartition, int]:
        """Return the present end offset of each partition."""
        return dict(await self._reader.end_offsets(self._partitions))

    async def reached(self, ends: dict[TopicPartition, int]) -> bool:
        """Whether every partition was read up to `ends`."""
        return await self._reader.at_end(ends)

    def lag_by_partition(self) -> list[int]:
        """Return the number of unread records of each partition, by the last known end offsets."""
        return [
            max(0, (self._reader.cached_end(partition) or 0) - offset)
            for partition, offset in zip(self._partitions, self.next_offsets, strict=True)
        ]

    def check_partition(self, message: Message) -> None:
        """Raise PoisonError for a message in another partition than that of its key."""
        check_partition(message, self._partition_of)

    async def batch(self, timeout_ms: int, max_records: int) -> list[Message]:
        """Return available messages and advance the offsets."""
        messages = await self._reader.batch(timeout_ms, max_records)
        for message in messages:
            self.next_offsets[message.partition] = message.offset + 1
        RECORDS.labels(SERVICE, self._topic).inc(len(messages))
        return messages


async def read_items(intake: TopicIntake, dead_letters: DeadLetters, timeout_ms: int = 0) -> list[ItemContent]:
    """Return new, changed and deleted items."""
    return await _parsed(await intake.batch(timeout_ms, 5000), dead_letters, _item, intake)


@dataclass(frozen=True, slots=True)
class ExampleBatch:
    """New examples, in order within a partition, and the users to forget before them."""

    examples: list[Example]
    erased: list[str]


async def read_examples(
    intake: TopicIntake, dead_letters: DeadLetters, parser: ExampleParser, timeout_ms: int, max_records: int
) -> ExampleBatch:
    """Return new examples. Those before the erasure of their user are left out."""
    messages = await intake.batch(timeout_ms, max_records)
    if not messages:
        return ExampleBatch([], [])
    BATCH_RECORDS.labels(SERVICE).observe(len(messages))
    erased_at = {message.key or b"": message.offset for message in messages if message.tombstone and message.key}
    kept = [message for message in messages if message.offset > erased_at.get(message.key or b"", -1)]
    examples = await _parsed(kept, dead_letters, lambda message: parser.parse(_decoded(message)), intake)
    return ExampleBatch(examples, [key.decode(errors="replace") for key in erased_at])


async def _parsed(
    messages: Sequence[Message],
    dead_letters: DeadLetters,
    parse: Callable[[Message], T],
    intake: TopicIntake,
) -> list[T]:
    """Return `parse(message)` for each usable message; the others are dead-lettered and acknowledged before this returns."""
    values: list[T] = []
    refused: list[Refusal] = []
    for message in messages:
        try:
            value = parse(message)
            intake.check_partition(message)
            values.append(value)
        except PoisonError as error:
            refused.append((message, error))
    await dead_letters.refuse_batch(messages, refused)
    return values


def _decoded(message: Message) -> Any:
    return Codec.for_topic(message.topic).decode(message.value)


def _item(message: Message) -> ItemContent:
    if not message.value and message.key:
        return ItemContent(message.key.decode(errors="replace"), deleted=True)
    record: Item = _decoded(message)
    check_item(record, message.key)
    return ItemContent.of(record)
