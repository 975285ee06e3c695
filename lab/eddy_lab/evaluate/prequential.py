"""A stream ranked event by event before it is learned: the scorer's whole ranking of what a user may do next, without policy or lists.

The cores are those of the loop (`eddy_lab.evaluate.loop`), less what only shown lists need: no impressions, no joiner. What a user has had
is
left out of the ranking in every scenario, as it is not asked about. A user's history is
always as of the event; counts and weights are those before its micro-batch.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eddy.contract.codec import Codec
from eddy.contract.message import Message
from eddy.contract.model import ACTIONS, FEATURES
from eddy.contract.scenarios import Scenarios
from eddy.contract.topics import ITEM_FEATURES, ITEM_SIGNALS, USER_EVENTS, USER_FEATURES
from eddy.text import TextModel
from eddy_cli.replay.records import Records
from eddy_cli.replay.stream import Stream
from eddy_features.core.cleaning import Cleaner
from eddy_features.core.item_side import ItemSide
from eddy_features.core.item_state import ItemPolicy, ItemRules
from eddy_features.core.states import DictRecords
from eddy_features.core.user_side import UserSide
from eddy_features.core.user_state import UserPolicy
from eddy_lab.evaluate.apart import Released, Task, learner_apart
from eddy_scorer.core.model.graphs import OnnxModel
from eddy_scorer.core.ranking.recommender import Recommender
from eddy_scorer.core.ranking.request import Request
from eddy_scorer.core.ranking.slates import Ranked
from eddy_scorer.core.state.users import User
from eddy_trainer.core.examples import Features, NextItem, Past, Shown
from eddy_trainer.core.learner import ItemContent, LearnerPolicy

_PARTITION = 0
_DECODED = 10_000
_CLICK = ACTIONS.index("click")
_LIMIT = 10
OUTSIDE = -1
_NO_FEATURES: Features = np.zeros((0, len(FEATURES)), np.float16)


@dataclass(frozen=True, slots=True)
class PrequentialPolicy:
    """Events between two releases, and how is learned from them.

    With `liked_from` every event is also a shown item, clicked where its rating is at least that: its chance is predicted, then learned.
    Without `ranked` that is all that is asked: no list is made of what a user may do next, and none is learned from. From event
    `learned_until` on weights stand still, and what is known of users and items moves on.
    `approximate_from` is the size of a catalogue from which on the encoder's best items are looked up in an index. `queries[name][index]`
    is what each event's user might have typed to find its item: the answers are ranked beside.
    """

    micro_batch: int = 256
    learning: LearnerPolicy = field(default_factory=LearnerPolicy)
    liked_from: float | None = None
    ranked: bool = True
    learned_until: int | None = None
    approximate_from: int = 0
    queries: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Prequential:
    """Rank, then learn, a micro-batch at a time. `graphs` is a folder for traced graphs; `text_model` as in the settings."""

    def __init__(
        self,
        stream: Stream,
        scenarios: Scenarios,
        policy: PrequentialPolicy,
        graphs: Path,
        text_model: str = "",
    ) -> None:
        self._stream = stream
        self._rules = scenarios[stream.role.scenario]
        self.policy = policy
        self._users = UserSide(Cleaner(scenarios), UserPolicy(), DictRecords(), _DECODED)
        self._items = ItemSide(ItemRules(scenarios, ItemPolicy()), DictRecords(), _DECODED)
        self.recommender = Recommender(
            _new_items_alone(scenarios, stream.role.scenario),
            np.random.default_rng(policy.learning.seed),
            lambda: 0.0,
            approximate_from=policy.approximate_from,
            texts=TextModel.load(text_model) if policy.queries else None,
        )
        contents = [ItemContent.of(item) for item in stream.catalogue]
        self._task = Task(scenarios, policy.learning, contents, graphs, text_model)
        self._records = Records("run", stream.role, _LIMIT, 0)
        self._user_codec, self._item_codec = Codec.for_topic(USER_FEATURES), Codec.for_topic(ITEM_FEATURES)
        self._signals = 0
        self._asked = stream.rated()
        self._liked = stream.at_least(0.0 if policy.liked_from is None else policy.liked_from)
        self.releases = 0
        self.chances = np.full(len(stream), 0.5, np.float32)  # predicted to be liked, where that is asked
        self.found = {name: np.full(len(stream), OUTSIDE, np.int64) for name in policy.queries}  # places, as of `play`
        self.rank_sec = self.shown_sec = self.train_sec = 0.0  # of processor time
        for item in stream.catalogue:
            self.recommender.apply_item(item)
        self.recommender.knowledge.rebuild()
        if policy.queries:
            self._read_items()

    def play(self, progress: Callable[[int], None] = lambda _: None) -> NDArray[np.int64]:
        """The place of each event's item in its ranking, from 0, OUTSIDE where it was not considered; a tie counts against it."""
        places = np.full(len(self._stream), OUTSIDE, np.int64)
        until = len(self._stream) if self.policy.learned_until is None else self.policy.learned_until
        learning = False
        with learner_apart(self._task) as learner:
            for indices in self._micro_batches(until):
                users, signals = self._follow(indices)
                if learning:
                    self._serve(learner.released())
                chosen = self._next(indices, users, places)
                shown = self._shown(indices, users)
                learning = indices.stop <= until
                if learning:
                    learner.learn([*chosen, *shown])
                self._count(signals)
                progress(indices.stop)
        return places

    def _micro_batches(self, until: int) -> Iterator[range]:
        """All events in order; none of the batches has events on both sides of `until`."""
        start, end = 0, len(self._stream)
        while start < end:
            stop = min(start + self.policy.micro_batch, until if start < until else end)
            yield range(start, stop)
            start = stop

    def _next(self, indices: Sequence[int], users: Sequence[User], places: NDArray[np.int64]) -> list[NextItem]:
        """What was chosen next, out of what; its place among all is noted in `places`, and that of every query in `found`."""
        if not self.policy.ranked:
            return [self._example(index, _NO_FEATURES, -1) for index in indices]
        ranked, rows = self._rank(indices, users), self._rows(indices)
        for line, (index, row) in enumerate(zip(indices, rows, strict=True)):
            places[index] = place_of(ranked, line, row)
        self._search(indices, users, rows)
        return self._chosen(indices, ranked, rows)

    def _rank(self, indices: Sequence[int], users: Sequence[User]) -> Ranked:
        started = time.process_time()
        ranked = self.recommender.rank([self._request(index) for index in indices], users)
        self.rank_sec += time.process_time() - started
        return ranked

    def _read_items(self) -> None:
        """What the scorer does in the background from the first query on."""
        meaning = self.recommender.knowledge.meaning
        meaning.want()
        while read := meaning.due():
            read()

    def _search(self, indices: Sequence[int], users: Sequence[User], rows: Sequence[int]) -> None:
        for name, queries in self.policy.queries.items():
            ranked = self.recommender.rank([self._request(index, query=queries[index]) for index in indices], users)
            for line, (index, row) in enumerate(zip(indices, rows, strict=True)):
                self.found[name][index] = place_of(ranked, line, row)

    def _request(self, index: int, candidates: tuple[str, ...] | None = None, query: str | None = None) -> Request:
        stream = self._stream
        user_id, at_ms = stream.user_ids[stream.users[index]], stream.times_ms[index]
        request_id = self._records.request_id(index)
        return Request(request_id, user_id, stream.role.scenario, _LIMIT, at_ms, query=query, candidates=candidates)

    def _rows(self, indices: Sequence[int]) -> list[int]:
        stream, find = self._stream, self.recommender.knowledge.catalogue.find
        return [find(stream.item_ids[stream.items[index]]) for index in indices]

    def _follow(self, indices: Sequence[int]) -> tuple[list[User], list[tuple[bytes, bytes]]]:
        """Each event's user as they were before it, and what the events mean for items."""
        stream, users, signals = self._stream, [], []
        for index in indices:
            user_id, item_id = stream.user_ids[stream.users[index]], stream.item_ids[stream.items[index]]
            at_ms = stream.times_ms[index]
            users.append(self.recommender.knowledge.users.get(user_id))
            _, event = self._records.organic(index, user_id, item_id, stream.values[index], at_ms)
            batch = self._users.apply(
                _PARTITION, [Message(USER_EVENTS, _PARTITION, index, user_id.encode(), event, at_ms)]
            )
            signals += batch.signals
            for key, value in batch.users:
                self._users.states.written(_PARTITION, key, value)
                self.recommender.apply_user_features(self._user_codec.decode(value), _PARTITION)
        self._users.states.shrink()
        return users, signals

    def _count(self, signals: Sequence[tuple[bytes, bytes]]) -> None:
        messages = []
        for key, value in signals:
            messages.append(Message(ITEM_SIGNALS, _PARTITION, self._signals, key, value, 0))
            self._signals += 1
        for key, value in self._items.apply(_PARTITION, messages).items:
            self._items.states.written(_PARTITION, key, value)
            self.recommender.apply_item_features(self._item_codec.decode(value))
        self._items.states.shrink()
        self.recommender.knowledge.rebuild()

    def _shown(self, indices: Sequence[int], users: Sequence[User]) -> list[Shown]:
        """Each event's item as shown alone, where it is rated and its user has not had it; its chance is noted on the way."""
        if self.policy.liked_from is None:
            return []
        stream = self._stream
        items = [stream.item_ids[stream.items[index]] for index in indices]
        requests = [self._request(index, (item,)) for index, item in zip(indices, items, strict=True)]
        started = time.process_time()
        ranked = self.recommender.rank(requests, users)
        self.shown_sec += time.process_time() - started
        shown = []
        for line, index in enumerate(indices):
            if not self._asked[index]:
                continue
            if ranked.predictions is not None:
                self.chances[index] = ranked.predictions[line, 0, _CLICK]
            actions = (_CLICK if self._liked[index] else -1,)
            shown.append(Shown("label", self._rules.id, ranked.features[line, :1], (0,), actions))
        return shown

    def _chosen(self, indices: Sequence[int], ranked: Ranked, rows: Sequence[int]) -> list[NextItem]:
        counts, examples = ranked.candidates.counts, []
        for line, (index, row) in enumerate(zip(indices, rows, strict=True)):
            considered = ranked.candidates.rows[line, : counts[line]]
            found = np.flatnonzero(considered == row)
            target = int(found[0]) if len(found) and row else -1
            examples.append(self._example(index, ranked.features[line, : counts[line]], target))
        return examples

    def _example(self, index: int, features: Features, target: int) -> NextItem:
        stream = self._stream
        event = Past(
            stream.item_ids[stream.items[index]],
            1 + ACTIONS.index(stream.role.action),
            self._rules.id,
            self._rules.actions[stream.role.action].normalise(stream.values[index]),
            stream.times_ms[index],
        )
        return NextItem(stream.user_ids[stream.users[index]], event, (), features, target)

    def _serve(self, release: Released) -> None:
        self.releases += 1
        self.train_sec = release.train_sec
        vectors = release.vectors[1:]
        self.recommender.apply_rows(release.item_ids[1:], vectors, np.zeros(len(vectors), np.float32))
        self.recommender.model = OnnxModel(self.releases, release.graphs.encode, release.graphs.rank)


def _new_items_alone(scenarios: Scenarios, name: str) -> Scenarios:
    """The same, but nothing is recommended twice in the scenario of that name."""
    rules = scenarios[name]
    filters = tuple(dict.fromkeys(("seen", *rules.filters)))
    return scenarios.model_copy(
        update={"scenarios": {**scenarios.scenarios, name: rules.model_copy(update={"filters": filters})}}
    )


def place_of(ranked: Ranked, line: int, row: int) -> int:
    """Place of catalogue row `row` in a ranking, OUTSIDE where it is not among the candidates; equals stand before it."""
    candidates = ranked.candidates
    count = candidates.merged[line]
    found = np.flatnonzero(candidates.rows[line, :count] == row)
    if not row or not len(found):
        return OUTSIDE
    scores = ranked.scores[line, :count]
    return int(np.count_nonzero(scores >= scores[found[0]])) - 1
