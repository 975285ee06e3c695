"""The live loop in one process: the cores of features, scorer, joiner and trainer exchange the bytes that Kafka would carry.

There is no Kafka, wall clock or thread, so the same data and seed give the same slates, labels and weights. Where the live loop acts by
time, this one acts by number of events (`EvaluationLoopPolicy`).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from eddy.contract.codec import Codec
from eddy.contract.message import Message
from eddy.contract.records import Item, Recommendations
from eddy.contract.scenarios import Scenarios
from eddy.contract.topics import RECOMMENDATIONS, TRAINING_EXAMPLES, USER_EVENTS
from eddy.text import TextModel
from eddy_features.core.item_state import ItemPolicy
from eddy_joiner.core.events import JoinerEvent
from eddy_joiner.core.examples import encode_example, user_of
from eddy_joiner.core.outcomes import Erased, ImpressionOutcome, Negative, Outcome, Positive, Refused
from eddy_joiner.core.policy import AttributionPolicy
from eddy_joiner.core.slates import ServedSlate
from eddy_joiner.core.state import JoinState
from eddy_joiner.shell.intake import accept_event, accept_slate
from eddy_lab.evaluate.event_features import PARTITION, EventFeatures
from eddy_lab.evaluate.releases import ReleaseCounts, ServedRelease
from eddy_scorer.core.ranking.recommender import Recommender
from eddy_scorer.core.ranking.request import Request
from eddy_trainer.core.examples import Example, ExampleParser
from eddy_trainer.core.graphs import GraphExporter
from eddy_trainer.core.learner import ItemContent, Learner, LearnerPolicy
from eddy_trainer.core.online_trainer import OnlineTrainer
from eddy_trainer.core.release import Release
from eddy_trainer.core.release_schedule import ReleaseSchedule

# Append time at the start of a run: after all events (November 2286), so that they are replayed.
_REPLAYED_AT_MS = 10**13


@dataclass(frozen=True, slots=True)
class EvaluationLoopPolicy:
    """Events per training step, per release, and per second of the clock that paces rebuilds of derived state.

    The defaults are those that the live loop reaches at about 300 events per second on two cores.
    """

    events_per_step: int = 128
    events_per_release: int = 256
    events_per_second: float = 300.0
    lateness_sec: float = 0.0
    learning: LearnerPolicy = field(default_factory=LearnerPolicy)
    items: ItemPolicy = field(default_factory=ItemPolicy)


class EvaluationLoop:
    """Publish items, serve requests and apply events; training and releases follow from the number of events.

    `examples` counts training examples by kind, `releases` the decisions of the release gate. `tap` receives every message that Kafka
    would carry, except items and item embeddings.
    """

    def __init__(
        self,
        scenarios: Scenarios,
        exporter: GraphExporter,
        policy: EvaluationLoopPolicy,
        texts: TextModel | None = None,
        tap: Callable[[Message], None] = lambda _: None,
    ) -> None:
        self._tap = tap
        self._policy = policy
        self._seconds = 0.0
        self.recommender = Recommender(scenarios, np.random.default_rng(policy.learning.seed), lambda: self._seconds)
        self._features = EventFeatures(scenarios, self.recommender, self._message, policy.items)
        self._attribution = AttributionPolicy(scenarios, policy.lateness_sec)
        self._join = JoinState(self._attribution)
        self._parser = ExampleParser(scenarios, policy.learning.columns)
        schedule = ReleaseSchedule(policy.events_per_release)
        self._trainer = OnlineTrainer(lambda: Learner(scenarios, policy.learning, texts), exporter, schedule)
        self._slate_codec, self._example_codec = Codec.for_topic(RECOMMENDATIONS), Codec.for_topic(TRAINING_EXAMPLES)
        self._offsets: Counter[str] = Counter()
        self._pending: list[Example] = []
        self._events = 0
        self._since_step = 0
        self._ledger: Counter[str] = Counter()
        self.examples: Counter[str] = Counter()
        self.releases = ReleaseCounts()

    def ledger(self) -> dict[str, int]:
        """Number of impressions, of those positive, negative and open, and of refused records."""
        counts = {name: self._ledger[name] for name in ("impressions", "positive", "negative")}
        refused = self._ledger["refused"] + self._features.refused
        return {**counts, "open": self._join.open_impressions, "refused": refused}

    def publish(self, items: Iterable[Item]) -> None:
        """Apply `item` records."""
        learner = self._trainer.learner
        for item in items:
            self.recommender.apply_item(item)
            learner.admit([ItemContent.of(item)])
        while learner.pending_texts:
            learner.embed_texts()
        self.recommender.state.rebuild()

    def serve(self, requests: Sequence[Request]) -> list[Recommendations]:
        """The slates of requests that are served in one batch, in order."""
        self.recommender.state.refresh()
        slates = self.recommender.recommend(requests, max(request.requested_at for request in requests))
        for slate in slates:
            payload = self._slate_codec.encode(slate)
            message = self._message(RECOMMENDATIONS, slate["user_id"].encode(), payload)
            self._features.serve(message)
            served = accept_slate(message, self._attribution)
            if served is not None:
                self._label(self._join.add_slate(served) if isinstance(served, ServedSlate) else [served])
        return slates

    def apply(self, events: Sequence[tuple[str, bytes]]) -> None:
        """Apply `user_event` records, as (user id, bytes), in the order of the log."""
        messages = [self._message(USER_EVENTS, user_id.encode(), payload) for user_id, payload in events]
        self._features.count(self._features.apply(messages))
        self._join.begin_batch(messages[0].offset, self._offsets[TRAINING_EXAMPLES])
        for message in messages:
            event = accept_event(message, self._attribution)
            if isinstance(event, JoinerEvent | Refused):
                self._label(self._join.apply(event) if isinstance(event, JoinerEvent) else [event])
        self._seconds += len(events) / self._policy.events_per_second
        self._events += len(events)
        self._since_step += len(events)
        if self._since_step >= self._policy.events_per_step:
            self._learn()

    def _label(self, outcomes: Iterable[Outcome]) -> None:
        """Count outcomes in the ledger, and encode and decode them as training examples."""
        for outcome in outcomes:
            match outcome:
                case ImpressionOutcome():
                    self._ledger["impressions"] += len(outcome.items)
                    continue
                case Erased():
                    continue
                case Refused():
                    self._ledger["refused"] += 1
                    continue
                case Positive():
                    self._ledger["positive"] += 1
                case Negative():
                    self._ledger["negative"] += len(outcome.impressions)
            message = self._message(TRAINING_EXAMPLES, user_of(outcome).encode(), encode_example(outcome, 0))
            example = self._parser.parse(self._example_codec.decode(message.value))
            self.examples[example.kind] += 1
            self._pending.append(example)

    def _learn(self) -> None:
        """Train, and release if due; a release that passes the gate serves from the next request on."""
        self.releases.note_rollback(self._trainer.observe(self._pending))
        self._pending, self._since_step = [], 0
        if self._trainer.learner.untrained:
            self._trainer.step()
        prepared = self._trainer.prepare(self._events)
        self.releases.note(prepared)
        if isinstance(prepared, Release):
            ServedRelease.of(prepared).serve_by(self.recommender, self.releases.released)
            self._trainer.served(prepared, self.releases.released)

    def _message(self, topic: str, key: bytes, value: bytes) -> Message:
        """The message as the broker would append it in a replay: append times follow the pace of the run, not event time."""
        offset = self._offsets[topic]
        self._offsets[topic] += 1
        message = Message(topic, PARTITION, offset, key, value, _REPLAYED_AT_MS + round(self._seconds * 1000))
        self._tap(message)
        return message
