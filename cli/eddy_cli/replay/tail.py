"""What the loop made of the replay, read from its topics while it runs: labels, examples, releases."""

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

_BATCH = 100  # records decoded before lists are looked after again


@dataclass(slots=True)
class Outcome:
    """Counts since the replay began. `positive` and `negative` are labels of items that this replay showed, `others` those of the lists
    of others, by request."""

    positive: int = 0
    negative: int = 0
    others: Counter[str] = field(default_factory=Counter)
    examples: int = 0
    learned_at: dict[str, tuple[int, int]] = field(default_factory=dict)
    trained_through: dict[int, list[int]] = field(default_factory=dict)  # by version
    dead_letters: Counter[str] = field(default_factory=Counter)
    next_offsets: dict[int, int] = field(default_factory=dict)  # of training-examples, by partition

    @property
    def lag(self) -> int:
        """Examples that the newest release has not learned from; a transaction's end marks count as one each."""
        if not self.trained_through:
            return sum(self.next_offsets.values())
        learned = self.trained_through[max(self.trained_through)]
        return sum(max(0, offset - learned[partition]) for partition, offset in self.next_offsets.items())


class Tail:
    """Reads training-examples, model-releases and dead-letters from where they ended when the replay began."""

    def __init__(self, records: ReplayRecords) -> None:
        self._records = records
        self._example = PrefixDecoder(TrainingExample, last="items")
        self._release = Codec.of(ModelRelease)
        self._dead_letter = Codec.of(DeadLetter)
        self._take = {
            TRAINING_EXAMPLES: self._take_example,
            MODEL_RELEASES: self._take_release,
            DEAD_LETTERS: self._take_dead_letter,
        }
        self.outcome = Outcome()

    @staticmethod
    def topic_partitions(bus: Bus) -> list[TopicPartition]:
        return [
            partition
            for topic in (TRAINING_EXAMPLES, MODEL_RELEASES, DEAD_LETTERS)
            for partition in bus.topic_partitions(topic)
        ]

    async def run(self, reader: Reader, ended: asyncio.Event) -> None:
        """Follow the topics until `ended`."""
        while not ended.is_set():
            self.take(await reader.batch(500, _BATCH))

    async def catch_up(self, reader: Reader) -> None:
        """Read what there is by now."""
        ends = await reader.end_offsets()
        while not await reader.at_end(ends):
            self.take(await reader.batch(200, 1000))

    def take(self, messages: list[Message]) -> None:
        for message in messages:
            self._take[message.topic](message)

    def _take_example(self, message: Message) -> None:
        example = self._example.decode(message.value)
        self.outcome.examples += 1
        self.outcome.next_offsets[message.partition] = message.offset + 1
        request_id = example["request_id"]
        if example["kind"] != "label" or request_id is None:
            return
        if self._records.index_of(request_id) is None:
            self.outcome.others[request_id] += len(example["items"])
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


async def rows_written(reader: Reader, bus: Bus) -> int:
    """Records ever written to item-embeddings, compacted away or not."""
    return sum((await reader.end_offsets(bus.topic_partitions(ITEM_EMBEDDINGS))).values())
