"""Whether a user will like an item: each rated event as an impression of its item alone, clicked where the rating is high enough."""

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
NOT_ASKED = 0.5  # the prediction where an event is not rated, its user has had the item, or no model serves yet


class RatingTask:
    """Predict, then learn. `predictions` [events]: the probability that each event's rating is at least `least`."""

    embeds_text: ClassVar[bool] = False

    def __init__(self, stream: Stream, scenarios: Scenarios, least: float) -> None:
        self._stream = stream
        self._scenario = scenarios[stream.event_kind.scenario].id
        self._asked, self._liked = stream.rated(), stream.at_least(least)
        self.predictions = np.full(len(stream), NOT_ASKED, np.float32)
        self.seconds = 0.0  # of processor time

    def ask(self, batch: EventBatch, ranker: StreamRanker) -> Sequence[Example]:
        items = [(self._stream.item_ids[self._stream.items[index]],) for index in batch.indices]
        started = time.process_time()
        ranked = ranker.rank(batch, candidates=items)
        self.seconds += time.process_time() - started
        examples = []
        for row, index in enumerate(batch.indices):
            if not self._asked[index]:
                continue
            if ranked.predictions is not None:
                self.predictions[index] = ranked.predictions[row, 0, _CLICK]
            actions = (_CLICK if self._liked[index] else -1,)
            examples.append(ImpressionExample("label", self._scenario, ranked.features[row, :1], (0,), actions))
        return examples
