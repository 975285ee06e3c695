"""A question about the events of a stream."""

from collections.abc import Sequence
from typing import ClassVar, Protocol

from eddy_lab.evaluate.stream_ranker import EventBatch, StreamRanker
from eddy_trainer.core.examples import Example


class PredictionTask(Protocol):
    """Asked of every micro-batch in order, before anything is learned from it; keeps the answers."""

    embeds_text: ClassVar[bool]  # whether the ranker must embed items and queries

    def ask(self, batch: EventBatch, ranker: StreamRanker) -> Sequence[Example]:
        """Ask about each event of the batch; returns what is learned from the events, in order."""
        ...
