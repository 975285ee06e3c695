"""Reads `items` and `training-examples`: all partitions, no group; the positions live in the checkpoint, beside what was learned."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import structlog

from eddy.clock import Clock
from eddy.contract.codec import Codec
from eddy.contract.dead_letter import dead_letter_of
from eddy.contract.items import check_item
from eddy.contract.message import Message, TopicPartition
from eddy.contract.records import Item
from eddy.contract.topics import DEAD_LETTERS as DEAD_LETTERS_TOPIC
from eddy.errors import PoisonError
from eddy.kafka.bus import Bus, Producer, Reader
from eddy.metrics import BATCH_RECORDS, DEAD_LETTERS, RECORDS
from eddy_trainer.core.examples import Example, ExampleParser
from eddy_trainer.core.learner import ItemContent

log = structlog.get_logger()

SERVICE = "trainer"
T = TypeVar("T")


class Intake:
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
            max(0, (self._reader.known_end(partition) or 0) - offset)
            for partition, offset in zip(self._partitions, self.next_offsets, strict=True)
        ]

    async def batch(self, timeout_ms: int, max_records: int) -> list[Message]:
        """What is there, with the positions moved past it."""
        messages = await self._reader.batch(timeout_ms, max_records)
        for message in messages:
            self.next_offsets[message.partition] = message.offset + 1
        RECORDS.labels(SERVICE, self._topic).inc(len(messages))
        return messages


class DeadLetters:
    """Refused records, written once the batch they came in is through."""

    def __init__(self, producer: Producer, bus: Bus, clock: Clock) -> None:
        self._producer = producer
        self._bus = bus
        self._clock = clock
        self._codec = Codec.for_topic(DEAD_LETTERS_TOPIC)
        self._refused: list[tuple[str, bytes]] = []

    def parse(self, messages: Iterable[Message], parse: Callable[[Any, bytes | None], T]) -> list[T]:
        """The values of `parse(record, key)` for each usable message; the others are refused."""
        values = []
        for message in messages:
            try:
                values.append(parse(Codec.for_topic(message.topic).decode(message.value), message.key))
            except PoisonError as error:
                self._refuse(message, error)
        return values

    async def flush(self) -> None:
        """Write what was refused and wait until it is acknowledged."""
        if self._refused:
            refused, self._refused = self._refused, []
            await self._producer.send_all(DEAD_LETTERS_TOPIC, refused)

    def _refuse(self, message: Message, error: PoisonError) -> None:
        DEAD_LETTERS.labels(SERVICE, message.topic, error.reason).inc()
        log.warning(
            "refused", topic=message.topic, partition=message.partition, offset=message.offset, reason=str(error)
        )
        full = self._bus.full_name(message.topic)
        letter = dead_letter_of(message, error, SERVICE, full, self._clock.now_ms())
        self._refused.append((full, self._codec.encode(letter)))


async def read_items(intake: Intake, letters: DeadLetters, timeout_ms: int = 0) -> list[ItemContent]:
    """Items that changed. One that was deleted stays known: sequences refer to it."""
    messages = await intake.batch(timeout_ms, 5000)
    items = letters.parse((message for message in messages if message.value), _item)
    await letters.flush()
    return items


async def read_examples(
    intake: Intake, letters: DeadLetters, parser: ExampleParser, timeout_ms: int, max_records: int
) -> list[Example]:
    """Examples that came, in order within a partition."""
    messages = await intake.batch(timeout_ms, max_records)
    if not messages:
        return []
    BATCH_RECORDS.labels(SERVICE).observe(len(messages))
    examples = letters.parse(messages, lambda record, _: parser.parse(record))
    await letters.flush()
    return examples


def _item(record: Item, key: bytes | None) -> ItemContent:
    check_item(record, key)
    return ItemContent.of(record)
