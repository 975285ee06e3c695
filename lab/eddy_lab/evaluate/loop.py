"""The live loop in one process: the cores of features, scorer, joiner and trainer, handing each other the bytes that Kafka would carry.

No Kafka, no wall clock, no thread: the same inputs and seed give the same lists, labels and weights. What is a matter of time in the live
loop is a number of events here (`LoopPolicy`).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from eddy.contract.codec import Codec
from eddy.contract.message import Message
from eddy.contract.records import Item, Recommendations
from eddy.contract.scenarios import Scenarios
from eddy.contract.topics import (
    ITEM_FEATURES,
    ITEM_SIGNALS,
    RECOMMENDATIONS,
    TRAINING_EXAMPLES,
    USER_EVENTS,
    USER_FEATURES,
)
from eddy.text import TextModel
from eddy_features.core.cleaning import Cleaner
from eddy_features.core.item_side import ItemSide
from eddy_features.core.item_state import ItemPolicy, ItemRules
from eddy_features.core.states import DictRecords
from eddy_features.core.user_side import UserSide
from eddy_features.core.user_state import UserPolicy
from eddy_joiner.core.events import Event
from eddy_joiner.core.examples import encode_example, user_of
from eddy_joiner.core.lists import ServedList
from eddy_joiner.core.outcomes import Negative, Outcome, Positive, Refused, Shown
from eddy_joiner.core.policy import AttributionPolicy
from eddy_joiner.core.state import JoinState
from eddy_joiner.shell.intake import PassedOver, take_event, take_list
from eddy_scorer.core.model.graphs import OnnxModel
from eddy_scorer.core.ranking.recommender import Recommender
from eddy_scorer.core.ranking.request import Request
from eddy_trainer.core.examples import Example, ExampleParser
from eddy_trainer.core.gate import Candidate, reasons_to_hold
from eddy_trainer.core.graphs import GraphExporter
from eddy_trainer.core.learner import ItemContent, Learner, LearnerPolicy
from eddy_trainer.core.parity import largest_difference, probe_of

_PARTITION = 0
_DECODED = 10_000


@dataclass(frozen=True, slots=True)
class LoopPolicy:
    """Events between two steps of learning, between two releases, and in a second of the clock that paces rebuilds of derived state.

    The defaults are what the live loop comes to at some 300 events a second on two cores.
    """

    events_per_step: int = 128
    events_per_release: int = 256
    events_per_second: float = 300.0
    lateness_sec: float = 0.0
    learning: LearnerPolicy = field(default_factory=LearnerPolicy)


class Loop:
    """Publish items, serve requests, take events in; learning and releases happen on the way.

    `books` counts shown, positive and negative items, `examples` what was learned from, by kind. `tap` sees every message that Kafka would
    carry but for items and rows.
    """

    def __init__(
        self,
        scenarios: Scenarios,
        exporter: GraphExporter,
        policy: LoopPolicy,
        texts: TextModel | None = None,
        tap: Callable[[Message], None] = lambda _: None,
    ) -> None:
        self._tap = tap
        self._policy = policy
        self._exporter = exporter
        self._users = UserSide(Cleaner(scenarios), UserPolicy(), DictRecords(), _DECODED)
        self._items = ItemSide(ItemRules(scenarios, ItemPolicy()), DictRecords(), _DECODED)
        self._seconds = 0.0
        self.recommender = Recommender(scenarios, np.random.default_rng(policy.learning.seed), lambda: self._seconds)
        self._joining = AttributionPolicy(scenarios, policy.lateness_sec)
        self._join = JoinState(self._joining)
        self._parser = ExampleParser(scenarios, policy.learning.columns)
        self.learner = Learner(scenarios, policy.learning, texts)
        self._user_codec, self._item_codec = Codec.for_topic(USER_FEATURES), Codec.for_topic(ITEM_FEATURES)
        self._slate_codec = Codec.for_topic(RECOMMENDATIONS)
        self._example_codec = Codec.for_topic(TRAINING_EXAMPLES)
        self._offsets: Counter[str] = Counter()
        self._clock_ms = 0
        self._waiting: list[Example] = []
        self._since_step = 0
        self._since_release = 0
        self.books: Counter[str] = Counter()
        self.examples: Counter[str] = Counter()
        self.releases = 0

    @property
    def open_items(self) -> int:
        """Shown items without a label so far."""
        return self._join.open_items

    def publish(self, items: Iterable[Item]) -> None:
        """Take `item` records in."""
        for item in items:
            self.recommender.apply_item(item)
            self.learner.admit([ItemContent.of(item)])
        while self.learner.unread:
            self.learner.read()
        self.recommender.knowledge.rebuild()

    def serve(self, requests: Sequence[Request]) -> list[Recommendations]:
        """The lists of requests that wait together, in order."""
        self.recommender.knowledge.refresh()
        lists = self.recommender.recommend(requests, max(request.requested_at for request in requests))
        for record in lists:
            self._clock_ms = max(self._clock_ms, record["requested_at"])
            served = take_list(
                self._message(RECOMMENDATIONS, record["user_id"].encode(), self._slate_codec.encode(record)),
                self._joining,
            )
            if served is not None:
                self._label(self._join.add_list(served) if isinstance(served, ServedList) else [served])
        return lists

    def act(self, events: Sequence[tuple[str, bytes]]) -> None:
        """Take `user_event` records in, as (user id, bytes), in the order of the log."""
        clean = Codec.for_topic(USER_EVENTS)
        for _, payload in events:
            self._clock_ms = max(self._clock_ms, clean.decode(payload)["occurred_at"])
        messages = [self._message(USER_EVENTS, user_id.encode(), payload) for user_id, payload in events]
        self._follow(messages)
        self._join.begin(messages[0].offset, self._offsets[TRAINING_EXAMPLES])
        for message in messages:
            found = take_event(message, self._joining)
            if not isinstance(found, PassedOver):
                self._label(self._join.apply(found) if isinstance(found, Event) else [found])
        self._seconds += len(events) / self._policy.events_per_second
        self._since_step += len(events)
        self._since_release += len(events)
        if self._since_step >= self._policy.events_per_step:
            self._learn()

    def _follow(self, messages: list[Message]) -> None:
        """Events into features, features into the recommender."""
        batch = self._users.apply(_PARTITION, messages)
        signals = [self._message(ITEM_SIGNALS, key, value) for key, value in batch.signals]
        items = self._items.apply(_PARTITION, signals)
        for key, value in batch.users:
            self._users.states.written(_PARTITION, key, value)
            message = self._message(USER_FEATURES, key, value)
            self.recommender.apply_user_features(self._user_codec.decode(message.value), _PARTITION)
        for key, value in items.items:
            self._items.states.written(_PARTITION, key, value)
            message = self._message(ITEM_FEATURES, key, value)
            self.recommender.apply_item_features(self._item_codec.decode(message.value))
        self._users.states.shrink()
        self._items.states.shrink()
        self.books["refused"] += len(batch.poison) + len(items.poison)

    def _label(self, outcomes: Iterable[Outcome]) -> None:
        """Outcomes into the books and into examples, by way of their bytes."""
        for outcome in outcomes:
            match outcome:
                case Shown():
                    self.books["shown"] += len(outcome.items)
                    continue
                case Refused():
                    self.books["refused"] += 1
                    continue
                case Positive():
                    self.books["positive"] += 1
                case Negative():
                    self.books["negative"] += len(outcome.places)
            message = self._message(TRAINING_EXAMPLES, user_of(outcome).encode(), encode_example(outcome, 0))
            example = self._parser.parse(self._example_codec.decode(message.value))
            self.examples[example.kind] += 1
            self._waiting.append(example)

    def _learn(self) -> None:
        """Judge what came, learn from it, release when it is time."""
        self.learner.observe(self._waiting)
        self._waiting, self._since_step = [], 0
        if self.learner.regressed():
            self.learner.roll_back()
            self.books["rolled back"] += 1
            self._release()
        if self.learner.fresh:
            self.learner.step()
        if self._since_release >= self._policy.events_per_release:
            self._since_release = 0
            self._release()

    def _release(self) -> None:
        weights = self.learner.snapshot()
        graphs = self._exporter.export(weights)
        parity = largest_difference(graphs, weights, probe_of(self.learner, weights))
        seen = Candidate(
            weights.finite(), parity, self.learner.label_window.compare(), self.learner.scenario_windows.compare()
        )
        if reasons_to_hold(seen, self.learner.gate):
            self.books["held"] += 1
            return
        self.releases += 1
        rows = weights.vectors[1:]
        self.recommender.apply_rows(weights.item_ids[1:], rows, np.zeros(len(rows), np.float32))
        self.recommender.model = OnnxModel(self.releases, graphs.encode, graphs.rank)
        self.learner.serves(weights, self.releases)

    def _message(self, topic: str, key: bytes, value: bytes) -> Message:
        """As the broker would append it, at the newest event time so far."""
        offset = self._offsets[topic]
        self._offsets[topic] += 1
        message = Message(topic, _PARTITION, offset, key, value, self._clock_ms)
        self._tap(message)
        return message
