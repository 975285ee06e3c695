"""Prequential evaluation of a stream: predict each event, then learn it.

It runs the cores of the live services, except what only slates need: there are no impressions and no joiner. A user's history is exact at
each event; counts and weights are those before its micro-batch. The model that predicts is a release that passed the trainer's gate.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eddy.contract.message import Message
from eddy.contract.scenarios import Scenarios
from eddy.contract.topics import USER_EVENTS
from eddy.text import TextModel
from eddy_cli.replay.records import ReplayRecords
from eddy_cli.replay.stream import Stream
from eddy_lab.evaluate.event_features import PARTITION, EventFeatures
from eddy_lab.evaluate.releases import MicroBatchResult, ReleaseCounts
from eddy_lab.evaluate.stream_ranker import LIMIT, EventBatch, StreamRanker
from eddy_lab.evaluate.tasks.prediction_task import PredictionTask
from eddy_lab.evaluate.trainer_process import TrainerSetup, trainer_process
from eddy_scorer.core.state.users import User
from eddy_trainer.core.learner import ItemContent, LearnerPolicy


@dataclass(frozen=True, slots=True)
class PrequentialPolicy:
    """A release is due after every `micro_batch` events.

    From event `learned_until` on, weights are fixed while histories and counts are updated. `approximate_from`: see StreamRanker.
    """

    micro_batch: int = 256
    learning: LearnerPolicy = field(default_factory=LearnerPolicy)
    learned_until: int | None = None
    approximate_from: int = 0


class Prequential:
    """Predicts, then learns, a micro-batch at a time. `graphs` is the folder of traced graphs; `text_model` as in the settings."""

    def __init__(
        self,
        stream: Stream,
        scenarios: Scenarios,
        policy: PrequentialPolicy,
        tasks: Sequence[PredictionTask],
        graphs: Path,
        text_model: str = "",
    ) -> None:
        self._stream = stream
        self.policy = policy
        self._tasks = tasks
        self._records = ReplayRecords("run", stream.event_kind, LIMIT, 0)
        texts = TextModel.load(text_model) if any(task.embeds_text for task in tasks) else None
        self._ranker = StreamRanker(
            stream, scenarios, self._records, policy.learning.seed, policy.approximate_from, texts
        )
        self.recommender = self._ranker.recommender
        self._features = EventFeatures(scenarios, self.recommender, self._carry)
        self._offsets: Counter[str] = Counter()
        self._now_ms = 0
        contents = [ItemContent.of(item) for item in stream.catalogue]
        self._setup = TrainerSetup(scenarios, policy.learning, contents, graphs, text_model)
        self.releases = ReleaseCounts()
        self.train_sec = 0.0  # CPU time

    def play(self, progress: Callable[[int], None] = lambda _: None) -> None:
        """Play the whole stream; `progress(events played)`. The tasks hold the predictions."""
        until = len(self._stream) if self.policy.learned_until is None else self.policy.learned_until
        learning = False
        with trainer_process(self._setup) as trainer:
            for indices in self._micro_batches(until):
                users, signals = self._apply(indices)
                if learning:
                    self._serve(trainer.result())
                batch = EventBatch(indices, users)
                examples = [example for task in self._tasks for example in task.predict(batch, self._ranker)]
                learning = indices.stop <= until
                if learning:
                    trainer.learn(examples)
                self._features.count(signals)
                self.recommender.state.rebuild()
                progress(indices.stop)

    def _micro_batches(self, until: int) -> Iterator[range]:
        """Indices of all events in order; no micro-batch has events on both sides of `until`."""
        start, end = 0, len(self._stream)
        while start < end:
            stop = min(start + self.policy.micro_batch, until if start < until else end)
            yield range(start, stop)
            start = stop

    def _apply(self, indices: Sequence[int]) -> tuple[list[User], list[tuple[bytes, bytes]]]:
        """Apply events; returns the state of each event's user before the event, and the item signals of all events."""
        stream = self._stream
        users: list[User] = []
        signals: list[tuple[bytes, bytes]] = []
        for index in indices:
            user_id, item_id = stream.user_ids[stream.users[index]], stream.item_ids[stream.items[index]]
            self._now_ms = stream.times_ms[index]
            users.append(self.recommender.state.users.get(user_id))
            _, event = self._records.unattributed(index, user_id, item_id, stream.values[index], self._now_ms)
            signals += self._features.apply([self._carry(USER_EVENTS, user_id.encode(), event)])
        return users, signals

    def _carry(self, topic: str, key: bytes, value: bytes) -> Message:
        """The message as the broker would append it, at the time of the event."""
        offset = self._offsets[topic]
        self._offsets[topic] += 1
        return Message(topic, PARTITION, offset, key, value, self._now_ms)

    def _serve(self, result: MicroBatchResult) -> None:
        """Serve the release that includes the last micro-batch; if it was held back, keep the one before it."""
        self.releases, self.train_sec = result.counts, result.train_sec
        if result.served is not None:
            result.served.serve_by(self.recommender, self.releases.released)
