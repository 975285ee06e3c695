"""Whether a user will like an item: each rated event is an impression of its item alone, clicked if the rating is high enough."""

import time
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from eddy.contract.model import ACTIONS
from eddy.contract.scenarios import Scenarios
from eddy_cli.replay.stream import Stream
from eddy_lab.evaluate.stream_ranker import EventBatch, StreamRanker
from eddy_trainer.core.examples import Example, ImpressionExample

_CLICK = ACTIONS.index("click")
NOT_PREDICTED = 0.5  # for an event without rating, one on an item its user has had, and before the first release


class RatingTask:
    """`predictions` [events]: the probability that each event's rating is at least `threshold`."""

    embeds_text: ClassVar[bool] = False

    def __init__(self, stream: Stream, scenarios: Scenarios, threshold: float) -> None:
        self._stream = stream
        self._scenario = scenarios[stream.event_kind.scenario].id
        self._rated, self._liked = stream.rated(), stream.at_least(threshold)
        self.predictions = np.full(len(stream), NOT_PREDICTED, np.float32)
        self.seconds = 0.0  # CPU time

    def predict(self, batch: EventBatch, ranker: StreamRanker) -> Sequence[Example]:
        items = [(self._stream.item_ids[self._stream.items[index]],) for index in batch.indices]
        started = time.process_time()
        ranked = ranker.rank(batch, candidates=items)
        self.seconds += time.process_time() - started
        examples = []
        for row, index in enumerate(batch.indices):
            if not self._rated[index]:
                continue
            if ranked.predictions is not None:
                self.predictions[index] = ranked.predictions[row, 0, _CLICK]
            actions = (_CLICK if self._liked[index] else -1,)
            examples.append(ImpressionExample("label", self._scenario, ranked.features[row, :1], (0,), actions))
        return examples
