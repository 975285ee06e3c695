"""The two input topics of the trainer; unusable records are dead-lettered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eddy.contract.topics import ITEMS, TRAINING_EXAMPLES
from eddy.kafka.dead_letters import DeadLetters
from eddy_trainer.core.examples import ExampleParser
from eddy_trainer.core.learner import ItemContent
from eddy_trainer.shell.topic_intake import ExampleBatch, TopicIntake, read_examples, read_items

TIMEOUT_MS = 20
MAX_RECORDS = 1000


@dataclass(frozen=True, slots=True)
class Inputs:
    """Items and training examples as validated values."""

    items: TopicIntake
    examples: TopicIntake
    dead_letters: DeadLetters
    parser: ExampleParser

    async def read_items(self, timeout_ms: int = 0) -> list[ItemContent]:
        """Return new and changed items."""
        return await read_items(self.items, self.dead_letters, timeout_ms)

    async def read_examples(self) -> ExampleBatch:
        """Return new examples. Waits up to TIMEOUT_MS for the first one."""
        return await read_examples(self.examples, self.dead_letters, self.parser, TIMEOUT_MS, MAX_RECORDS)

    @property
    def offsets(self) -> dict[str, list[int]]:
        """The next offsets per topic, by partition, as in a checkpoint."""
        return {ITEMS: list(self.items.next_offsets), TRAINING_EXAMPLES: list(self.examples.next_offsets)}

    async def seek(self, offsets: Mapping[str, Sequence[int]]) -> None:
        """Seek to these offsets; topics that are not named are read from their beginnings."""
        for topic, intake in ((ITEMS, self.items), (TRAINING_EXAMPLES, self.examples)):
            await intake.seek(offsets.get(topic, [0] * len(intake.next_offsets)))
