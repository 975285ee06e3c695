"""A prediction task on the events of a stream."""

from collections.abc import Sequence
from typing import ClassVar, Protocol

from eddy_lab.evaluate.stream_ranker import EventBatch, StreamRanker
from eddy_trainer.core.examples import Example


class PredictionTask(Protocol):
    """Predicts every micro-batch in order, before it is learned, and keeps the predictions."""

    embeds_text: ClassVar[bool]  # whether the ranker must embed items and queries

    def predict(self, batch: EventBatch, ranker: StreamRanker) -> Sequence[Example]:
        """Predict each event of the batch; returns the examples to learn from the events, in order."""
        ...
