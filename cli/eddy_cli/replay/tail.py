"""Reads labels, examples, releases and dead letters from Kafka during the replay."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from eddy.contract.codec import Codec
from eddy.contract.message import Message, TopicPartition
from eddy.contract.prefix import PrefixDecoder
from eddy.contract.records import DeadLetter, ModelRelease, TrainingExample
from eddy.contract.topics import DEAD_LETTERS, ITEM_EMBEDDINGS, MODEL_RELEASES, TRAINING_EXAMPLES
from eddy.kafka.bus import Bus, Reader
from eddy_cli.replay.records import ReplayRecords

_BATCH = 100  # records that are decoded before slates are read again


@dataclass(slots=True)
class TailResult:
    """Counts since the start of the replay. `positive` and `negative` count labels of this replay's impressions, `other_requests` labels of
    other clients' impressions by request."""

    positive: int = 0
    negative: int = 0
    other_requests: Counter[str] = field(default_factory=Counter)
    examples: int = 0
    learned_at: dict[str, tuple[int, int]] = field(default_factory=dict)
    trained_through: dict[int, list[int]] = field(default_factory=dict)  # by version
    dead_letters: Counter[str] = field(default_factory=Counter)
    next_offsets: dict[int, int] = field(default_factory=dict)  # of training-examples, by partition

    @property
    def lag(self) -> int:
        """Examples that the newest release is not trained on; transaction markers count as one each."""
        if not self.trained_through:
            return sum(self.next_offsets.values())
        learned = self.trained_through[max(self.trained_through)]
        return sum(max(0, offset - learned[partition]) for partition, offset in self.next_offsets.items())


class Tail:
    """Reads training-examples, model-releases and dead-letters from the start of the replay on."""

    def __init__(self, records: ReplayRecords) -> None:
        self._records = records
        self._example = PrefixDecoder(TrainingExample, last="items")
        self._release = Codec.of(ModelRelease)
        self._dead_letter = Codec.of(DeadLetter)
        self._handlers = {
            TRAINING_EXAMPLES: self._take_example,
            MODEL_RELEASES: self._take_release,
            DEAD_LETTERS: self._take_dead_letter,
        }
        self.outcome = TailResult()

    @staticmethod
    def topic_partitions(bus: Bus) -> list[TopicPartition]:
        return [
            partition
            for topic in (TRAINING_EXAMPLES, MODEL_RELEASES, DEAD_LETTERS)
            for partition in bus.topic_partitions(topic)
        ]

    async def run(self, reader: Reader, ended: asyncio.Event) -> None:
        """Read the topics until `ended` is set."""
        while not ended.is_set():
            self.take(await reader.batch(500, _BATCH))

    async def catch_up(self, reader: Reader) -> None:
        """Read to the present end of the topics."""
        ends = await reader.end_offsets()
        while not await reader.at_end(ends):
            self.take(await reader.batch(200, 1000))

    def take(self, messages: list[Message]) -> None:
        for message in messages:
            self._handlers[message.topic](message)

    def _take_example(self, message: Message) -> None:
        example = self._example.decode(message.value)
        self.outcome.examples += 1
        self.outcome.next_offsets[message.partition] = message.offset + 1
        request_id = example["request_id"]
        if example["kind"] != "label" or request_id is None:
            return
        if self._records.index_of(request_id) is None:
            self.outcome.other_requests[request_id] += len(example["items"])
            return
        positives = sum(item["label"] for item in example["items"])
        self.outcome.positive += positives
        self.outcome.negative += len(example["items"]) - positives
        if positives and example["event_id"] is not None:
            self.outcome.learned_at[example["event_id"]] = message.partition, message.offset

    def _take_release(self, message: Message) -> None:
        release = self._release.decode(message.value)
        self.outcome.trained_through[release["version"]] = release["trained_through"]

    def _take_dead_letter(self, message: Message) -> None:
        self.outcome.dead_letters[self._dead_letter.decode(message.value)["reason"]] += 1


async def embeddings_written(reader: Reader, bus: Bus) -> int:
    """Number of records ever written to item-embeddings, including compacted ones."""
    return sum((await reader.end_offsets(bus.topic_partitions(ITEM_EMBEDDINGS))).values())
