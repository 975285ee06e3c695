"""Reads `items` and `training-examples`: all partitions, no group; the positions live in the checkpoint, beside what was learned."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import structlog

from eddy.contract.codec import Codec
from eddy.contract.items import check_item
from eddy.contract.message import Message, TopicPartition
from eddy.contract.records import Item
from eddy.errors import PoisonError
from eddy.kafka.bus import Bus, Reader
from eddy.kafka.dead_letters import DeadLetters, Refusal
from eddy.metrics import BATCH_RECORDS, RECORDS
from eddy_trainer.core.examples import Example, ExampleParser
from eddy_trainer.core.learner import ItemContent

log = structlog.get_logger()

SERVICE = "trainer"
T = TypeVar("T")


class TopicIntake:
    """One topic as checked values. Records that cannot be used are dead-lettered and passed over."""

    def __init__(self, topic: str, reader: Reader, bus: Bus) -> None:
        self._topic = topic
        self._reader = reader
        self._partitions = bus.topic_partitions(topic)
        self.next_offsets = [0] * bus.partitions

    async def seek(self, offsets: Sequence[int]) -> None:
        """Go on at these offsets. One past the end belongs to a topic that is no more: that partition is read from its beginning."""
        ends = await self._reader.end_offsets(self._partitions)
        starts = await self._reader.beginning_offsets(self._partitions)
        for number, (partition, offset) in enumerate(zip(self._partitions, offsets, strict=True)):
            known = max(offset if offset <= ends[partition] else 0, starts[partition])
            if offset > ends[partition]:
                log.warning("offset_past_end", topic=self._topic, partition=number, offset=offset, end=ends[partition])
            self.next_offsets[number] = known
            self._reader.seek(partition, known)

    async def ends(self) -> dict[TopicPartition, int]:
        """End offset of each partition now."""
        return dict(await self._reader.end_offsets(self._partitions))

    async def reached(self, ends: dict[TopicPartition, int]) -> bool:
        return await self._reader.at_end(ends)

    def waiting(self) -> list[int]:
        """Records of each partition known to be there and not taken yet."""
        return [
            max(0, (self._reader.cached_end(partition) or 0) - offset)
            for partition, offset in zip(self._partitions, self.next_offsets, strict=True)
        ]

    async def batch(self, timeout_ms: int, max_records: int) -> list[Message]:
        """What is there, with the positions moved past it."""
        messages = await self._reader.batch(timeout_ms, max_records)
        for message in messages:
            self.next_offsets[message.partition] = message.offset + 1
        RECORDS.labels(SERVICE, self._topic).inc(len(messages))
        return messages


async def read_items(intake: TopicIntake, dead_letters: DeadLetters, timeout_ms: int = 0) -> list[ItemContent]:
    """Items that changed. One that was deleted stays known: sequences refer to it."""
    messages = await intake.batch(timeout_ms, 5000)
    return await _parsed([message for message in messages if message.value], dead_letters, _item)


async def read_examples(
    intake: TopicIntake, dead_letters: DeadLetters, parser: ExampleParser, timeout_ms: int, max_records: int
) -> list[Example]:
    """Examples that came, in order within a partition."""
    messages = await intake.batch(timeout_ms, max_records)
    if not messages:
        return []
    BATCH_RECORDS.labels(SERVICE).observe(len(messages))
    return await _parsed(messages, dead_letters, lambda record, _: parser.parse(record))


async def _parsed(
    messages: Sequence[Message], dead_letters: DeadLetters, parse: Callable[[Any, bytes | None], T]
) -> list[T]:
    """The values of `parse(record, key)` for each usable message; the letters of the others are kept before this returns."""
    values: list[T] = []
    refused: list[Refusal] = []
    for message in messages:
        try:
            values.append(parse(Codec.for_topic(message.topic).decode(message.value), message.key))
        except PoisonError as error:
            refused.append((message, error))
    await dead_letters.refuse_batch(messages, refused)
    return values


def _item(record: Item, key: bytes | None) -> ItemContent:
    check_item(record, key)
    return ItemContent.of(record)
