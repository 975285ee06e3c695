"""The two topics that the trainer reads, and what becomes of records that cannot be used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eddy.contract.topics import ITEMS, TRAINING_EXAMPLES
from eddy.kafka.dead_letters import DeadLetters
from eddy_trainer.core.examples import Example, ExampleParser
from eddy_trainer.core.learner import ItemContent
from eddy_trainer.shell.topic_intake import TopicIntake, read_examples, read_items

TIMEOUT_MS = 20
MAX_RECORDS = 1000


@dataclass(frozen=True, slots=True)
class Inputs:
    """Items and training examples as checked values."""

    items: TopicIntake
    examples: TopicIntake
    dead_letters: DeadLetters
    parser: ExampleParser

    async def read_items(self, timeout_ms: int = 0) -> list[ItemContent]:
        """Items that changed."""
        return await read_items(self.items, self.dead_letters, timeout_ms)

    async def read_examples(self) -> list[Example]:
        """Examples that arrived, in order within a partition; waits up to TIMEOUT_MS for the first one."""
        return await read_examples(self.examples, self.dead_letters, self.parser, TIMEOUT_MS, MAX_RECORDS)

    @property
    def offsets(self) -> dict[str, list[int]]:
        """The next offset of each partition, by topic: what a checkpoint keeps."""
        return {ITEMS: list(self.items.next_offsets), TRAINING_EXAMPLES: list(self.examples.next_offsets)}

    async def seek(self, offsets: Mapping[str, Sequence[int]]) -> None:
        """Go on at these offsets; a topic that is not named is read from its beginning."""
        for topic, intake in ((ITEMS, self.items), (TRAINING_EXAMPLES, self.examples)):
            await intake.seek(offsets.get(topic, [0] * len(intake.next_offsets)))
