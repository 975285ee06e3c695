"""The learner: takes items and examples in, evaluates, trains, and returns weights. No Kafka, no clock: equal inputs give equal models."""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eddy.contract.expiry import DAY_MS, EventClock
from eddy.contract.model import MAX_SCENARIOS, Columns
from eddy.contract.records import Item
from eddy.contract.scenarios import Scenario, Scenarios
from eddy.text import TextModel, item_text
from eddy.text_queue import TextQueue, text_digest
from eddy_trainer.core.effort import Effort
from eddy_trainer.core.embedding_table import TableWeights
from eddy_trainer.core.encoder_judge import EncoderJudge, ReleasedEncoder
from eddy_trainer.core.encoder_training import EncoderPolicy, EncoderTrainer
from eddy_trainer.core.examples import Example, ImpressionExample, NextItemExample
from eddy_trainer.core.last_known_good import RANKER_RULE, LastKnownGood
from eddy_trainer.core.migration import ColumnMigration
from eddy_trainer.core.models import DEFAULT_MODEL, MODELS
from eddy_trainer.core.models.ranker import Ranker
from eddy_trainer.core.progressive import Losses, LossWindow, ScenarioLossWindows
from eddy_trainer.core.quality import Quality
from eddy_trainer.core.ranker_training import RankerPolicy, RankerTrainer
from eddy_trainer.core.ranking_memory import CandidateSets, Impressions
from eddy_trainer.core.release_gate import ENCODER_LOSS, HELD, LOG_LOSS, GatePolicy, is_worse

LOSS_WINDOW = 2000
SCENARIO_MEMORY = 10_000  # of all scenarios
# Maximum number of examples per `observe` that the last known good release and its successor also predict.
COMPARED_CANDIDATE_SETS = 64
COMPARED_IMPRESSIONS = 256
MINIMAL_STEP_SHARE = 0.25
TEXT_BATCH = 32


@dataclass(frozen=True, slots=True)
class LearnerPolicy:
    """Everything that determines the result of training on given examples."""

    seed: int = 0
    model: str = DEFAULT_MODEL
    encoder: EncoderPolicy = field(default_factory=EncoderPolicy)
    ranker: RankerPolicy = field(default_factory=RankerPolicy)
    gate: GatePolicy = field(default_factory=GatePolicy)
    columns: Columns = field(default_factory=Columns)


@dataclass(frozen=True, slots=True)
class ItemContent:
    """Description of an item: categories, attributes, `words` for the text model, and scenarios (empty: all); or that it is `deleted`."""

    item_id: str
    categories: Sequence[str] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    words: str = ""
    scenarios: Sequence[str] = ()
    deleted: bool = False

    @staticmethod
    def of(item: Item) -> "ItemContent":
        """Return the content of an `item` record."""
        words = item_text(item["title"], item["text"], item["categories"], item["attributes"])
        return ItemContent(item["item_id"], item["categories"], item["attributes"], words, item["scenarios"])


@dataclass(frozen=True, slots=True)
class StepReport:
    """Result of a training step."""

    encoder_steps: int
    shed_steps: int  # encoder steps that were skipped
    ranker_steps: int
    encoder_loss: float


@dataclass(frozen=True, slots=True)
class Rollback:
    """A rollback of the ranker, or of the encoder (`encoder_loss`): its reason, and the version that was restored."""

    reason: str
    version: int


@dataclass(frozen=True, slots=True)
class Weights:
    """A copy of a model at one moment. `model` is a key of eddy_trainer.core.models.MODELS."""

    model: str
    columns: Columns
    encoder: dict[str, torch.Tensor]
    ranker: dict[str, torch.Tensor]
    item_ids: list[str]  # row -> item; "" for row 0, which is padding, and for free rows
    vectors: NDArray[np.float32]  # [rows, DIM]
    table: TableWeights | None = None  # to roll back to
    appended: int = 0  # interactions that it was trained on
    deleted: Sequence[str] = ()  # items whose embeddings must be deleted

    def finite(self) -> bool:
        """Whether no weight is NaN or infinite."""
        tensors = (*self.encoder.values(), *self.ranker.values(), torch.from_numpy(self.vectors))
        return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


class Learner:
    """Encoder, ranker and their progressive validation. `text_model` embeds the words of items; without it they are ignored."""

    def __init__(self, scenarios: Scenarios, policy: LearnerPolicy, text_model: TextModel | None = None) -> None:
        self._text_model = text_model
        self._text_model_name = text_model.name if text_model is not None else ""
        self.items_outdated = False
        self._pending_texts: TextQueue[str] = TextQueue()
        self._scenario_ids: dict[str, int] = {}
        self.scenario_windows = ScenarioLossWindows(LOSS_WINDOW, SCENARIO_MEMORY)
        self._items_by_future_scenario: dict[str, set[str]] = {}  # items that name a scenario which does not exist yet
        self._unseen_only = torch.zeros(MAX_SCENARIOS, dtype=torch.bool)
        self.columns = policy.columns
        # [MAX_SCENARIOS, ACTIONS]: the positive actions of each scenario.
        self._heads = torch.zeros((MAX_SCENARIOS, len(self.columns.actions)), dtype=torch.bool)
        scenarios.subscribe(self._add_scenario)
        self.model = policy.model
        self.gate = policy.gate
        kinds = MODELS[policy.model]
        self.encoder = EncoderTrainer(kinds.encoder, policy.encoder, self._unseen_only, policy.seed, self.columns)
        self.ranker = RankerTrainer(kinds.ranker, policy.ranker, self._heads, policy.seed, self.columns)
        self.encoder_judge = EncoderJudge(scenarios, self.encoder.encoder, self.encoder.table, policy.seed)
        self._serving: Ranker | None = None
        self._serving_version = 0
        self._last_good: LastKnownGood[Ranker] = LastKnownGood(RANKER_RULE)
        self.quality = Quality(scenarios, len(self.columns.actions))
        self.label_window = LossWindow(LOSS_WINDOW)
        self.next_item_window = LossWindow(LOSS_WINDOW)
        self.examples = 0
        self._clock = EventClock()
        self._expired_at = 0  # event time

    def _add_scenario(self, name: str, scenario: Scenario) -> None:
        self._scenario_ids[name] = scenario.id
        self.scenario_windows.add_scenario(name, scenario.id)
        self._add_awaited_items(name)
        self._unseen_only[scenario.id] = "seen" in scenario.filters
        for action, rule in scenario.actions.items():
            if rule.positive and action in self.columns.actions:
                self._heads[scenario.id, self.columns.actions.index(action)] = True

    def _add_awaited_items(self, name: str) -> None:
        for item_id in self._items_by_future_scenario.pop(name, ()):
            self.encoder.table.add_to_scenario([self.encoder.table.row(item_id)], self._scenario_ids[name])

    @property
    def untrained(self) -> int:
        """Number of events that no step was trained on yet."""
        return max(self.encoder.untrained_events, self.ranker.untrained)

    def admit(self, items: Sequence[ItemContent]) -> None:
        """Add, update or delete items. New and changed words stay pending until `embed_texts`."""
        newest = {item.item_id: item for item in items}
        self._remove_items([item.item_id for item in newest.values() if item.deleted])
        for item in newest.values():
            if item.deleted:
                continue
            ids = (
                [self._scenario_ids[name] for name in item.scenarios if name in self._scenario_ids]
                if item.scenarios
                else None
            )
            self.encoder.table.describe(item.item_id, item.categories, item.attributes, ids)
            self._note_future_scenarios(item)
            if self._text_model is not None:
                self._pending_texts.put(item.item_id, item.words, self.encoder.table.text_digest(item.item_id))

    def _remove_items(self, item_ids: Sequence[str]) -> None:
        self.encoder.remove_items(item_ids)
        for item_id in item_ids:
            self._pending_texts.discard(item_id)
            for awaited in self._items_by_future_scenario.values():
                awaited.discard(item_id)

    def _note_future_scenarios(self, item: ItemContent) -> None:
        for item_ids in self._items_by_future_scenario.values():
            item_ids.discard(item.item_id)
        for name in set(item.scenarios) - self._scenario_ids.keys():
            self._items_by_future_scenario.setdefault(name, set()).add(item.item_id)

    @property
    def pending_texts(self) -> int:
        """Number of items whose words are not embedded yet."""
        return len(self._pending_texts)

    def embed_texts(self, limit: int = TEXT_BATCH) -> None:
        """Embed the words of up to `limit` items, about 8 ms each."""
        if self._text_model is None or not self._pending_texts:
            return
        item_ids, texts = zip(*self._pending_texts.take(limit), strict=True)
        self.encoder.table.set_texts(item_ids, self._text_model.embed(texts), [text_digest(text) for text in texts])

    def observe(self, examples: Sequence[Example]) -> None:
        """Evaluate the models on new examples and keep the examples for the next step."""
        events = [example for example in examples if isinstance(example, NextItemExample)]
        labelled = [example for example in examples if isinstance(example, ImpressionExample)]
        self._clock.add(event.event.at for event in events)
        since = self.encoder.sequences.appended
        taught = self.encoder.observe(events)
        events = [event for event, is_taught in zip(events, taught, strict=True) if is_taught]
        candidate_sets, impressions = self.ranker.observe(events, labelled)
        serving = self._serving or self.ranker.ranker
        with torch.no_grad():
            sequences = self.encoder.sequences
            users = dict.fromkeys(event.user_id for event in events if event.user_id in sequences)
            self.encoder_judge.judge(sequences, [sequences.slot_of(user_id) for user_id in users], since)
            self._compare(serving, candidate_sets, impressions)
            self._evaluate(serving, candidate_sets, impressions, labelled)
        self.examples += len(examples)

    def _compare(self, serving: Ranker, candidate_sets: CandidateSets, impressions: Impressions) -> None:
        """Compare the ranker in training with the serving one and with those kept for a rollback."""
        next_item_losses, label_losses = self._losses([serving, self.ranker.ranker], candidate_sets, impressions)
        self.next_item_window.add(*next_item_losses)
        self.label_window.add(*label_losses)
        self.scenario_windows.add(impressions.scenarios.numpy(), *label_losses)
        if self._last_good.models:
            rankers = [*self._last_good.models, self.ranker.ranker]
            next_items, labels = self._losses(
                rankers, candidate_sets.first(COMPARED_CANDIDATE_SETS), impressions.first(COMPARED_IMPRESSIONS)
            )
            self._last_good.add([list(each) for each in zip(labels, next_items, strict=True)])

    def _losses(
        self, rankers: Sequence[Ranker], candidate_sets: CandidateSets, impressions: Impressions
    ) -> tuple[list[Losses], list[Losses]]:
        """Return the losses of each of `rankers` on each candidate set and on each impression."""
        return (
            [self.ranker.candidate_set_losses(each, candidate_sets).numpy() for each in rankers],
            [self.ranker.impression_losses(each, impressions).numpy() for each in rankers],
        )

    def _evaluate(
        self,
        serving: Ranker,
        candidate_sets: CandidateSets,
        impressions: Impressions,
        labelled: Sequence[ImpressionExample],
    ) -> None:
        if len(candidate_sets):
            self.quality.add_candidate_sets(
                serving(candidate_sets.features, candidate_sets.scenarios)[0].numpy(),
                candidate_sets.scenarios.numpy(),
                candidate_sets.chosen,
            )
        # An upgrade is not a second label of its impression.
        is_label = np.repeat([each.kind == "label" for each in labelled], [len(each.features) for each in labelled])
        # A batch larger than the memory: only its last impressions are kept.
        is_label = is_label[len(is_label) - len(impressions.actions) :]
        if is_label.any():
            probabilities = torch.sigmoid(
                serving.impression_logits(impressions.features, impressions.scenarios, impressions.positions)
            ).numpy()
            self.quality.add_impressions(
                probabilities[is_label], impressions.scenarios.numpy()[is_label], impressions.actions.numpy()[is_label]
            )

    def forget(self, user_ids: Iterable[str]) -> None:
        """Erase the sequences and remembered examples of users."""
        for user_id in user_ids:
            self.encoder.forget(user_id)
            self.ranker.forget(user_id)

    def expire(self, user_days: float, item_days: float) -> tuple[int, int]:
        """Forget users and unpublished items without events for so many days (0: never); returns their numbers.

        Does nothing before a day of event time has passed since the last call that did something.
        """
        now = self._clock.now
        if now is None or now - self._expired_at < DAY_MS:
            return 0, 0
        self._expired_at = now
        users, items = self.encoder.expire(self._clock.limit(user_days), self._clock.limit(item_days))
        for item_id in items:
            self._pending_texts.discard(item_id)
        return users, len(items)

    def step(self, effort: Effort = Effort.FULL) -> StepReport:
        """Train on all examples that were observed since the last step."""
        planned = self.encoder.planned_steps()
        losses = self.encoder.step(rehearse=effort is Effort.FULL) if planned else []
        steps = self.ranker.step(MINIMAL_STEP_SHARE if effort is Effort.MINIMAL else 1.0)
        return StepReport(len(losses), planned - len(losses), steps, float(np.mean(losses)) if losses else 0.0)

    def snapshot(self) -> Weights:
        """Return a copy of the current weights."""
        return Weights(
            model=self.model,
            columns=self.columns,
            encoder={name: value.clone() for name, value in self.encoder.encoder.state_dict().items()},
            ranker={name: value.clone() for name, value in self.ranker.ranker.state_dict().items()},
            item_ids=list(self.encoder.table.ids),
            vectors=self.encoder.table.all_vectors().numpy(),
            table=self.encoder.table.weights(),
            appended=self.encoder.sequences.appended,
            deleted=self.unpublished_deletions,
        )

    @property
    def unpublished_deletions(self) -> tuple[str, ...]:
        """Deleted items whose embeddings may still be published."""
        return tuple(self.encoder.table.unpublished_deletions)

    def deletions_published(self, item_ids: Iterable[str]) -> None:
        """Record that the embeddings of these items are deleted."""
        for item_id in item_ids:
            self.encoder.table.unpublished_deletions.pop(item_id, None)

    def set_serving(self, weights: Weights, version: int = 0) -> None:
        """Set the released weights with which the model in training is compared."""
        self._serving = self._serving or MODELS[self.model].ranker(self.columns)
        self._serving.load_state_dict(weights.ranker)
        self.deletions_published(weights.deleted)
        self._serving_version = version
        serving = self._serving
        self._last_good.note_release(lambda: deepcopy(serving), version, self.gate)
        if weights.table is not None:
            encoder = MODELS[self.model].encoder(self.columns)
            encoder.load_state_dict(weights.encoder)
            vectors = torch.from_numpy(weights.vectors)
            released = ReleasedEncoder(encoder, vectors, weights.item_ids, weights.table, weights.appended)
            self.encoder_judge.set_serving(released, version, self.gate)

    def regressed(self) -> bool:
        """Whether ranker or encoder in training is worse than the last known good release, by the policy of the release gate."""
        return self._last_good.is_worse(self.gate) or self.encoder_judge.last_good.is_worse(self.gate)

    def roll_back(self) -> "Rollback":
        """Restore the serving ranker if only later ones regressed (the gate holds them back, or is about to), otherwise the last known good
        release. Training since then is discarded. An encoder that regressed is rolled back to its last known good release first, and alone.

        Raises RuntimeError before the first release.
        """
        if self.encoder_judge.last_good.is_worse(self.gate):
            return self._roll_back_encoder()
        last_good = self._last_good.release
        if self._serving is None or last_good is None:
            raise RuntimeError("cannot roll back before the first release")
        serving_is_better = is_worse(
            self.label_window.compare(), replace(self.gate, standard_errors=self.gate.standard_errors / 2)
        )
        self.ranker.reset_to(self._serving if serving_is_better else last_good.model)
        self._last_good.reset()
        for window in (self.label_window, self.next_item_window, self.scenario_windows):
            window.clear()
        if serving_is_better:
            return Rollback(HELD, self._serving_version)
        return Rollback(LOG_LOSS, last_good.version)

    def _roll_back_encoder(self) -> "Rollback":
        last_good = self.encoder_judge.last_good.release
        assert last_good is not None  # it is what the encoder is worse than
        released = last_good.model
        self.encoder.reset_to(released.encoder, released.table, released.item_ids, released.appended)
        self.encoder_judge.reset()
        return Rollback(ENCODER_LOSS, last_good.version)

    def state(self) -> dict[str, Any]:
        """Return everything that training continues from. Keys are part of the checkpoint format."""
        return {
            "model": self.model,
            "features": list(self.columns.features),
            "actions": list(self.columns.actions),
            "text_model": self._text_model_name,
            "unread": self._pending_texts.state(),
            "awaiting": {name: list(items) for name, items in self._items_by_future_scenario.items()},
            "encoder": self.encoder.state(),
            "ranker": self.ranker.state(),
            "examples": self.examples,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore from the result of `state`, migrated to the features and actions of this learner, which must be untrained.

        Sets `items_outdated` if another text model embedded the items, so that they must be admitted again. Raises ValueError for the
        state of another kind of model.
        """
        if state["model"] != self.model:
            raise ValueError(f"the state is of a {state['model']}, but this learner trains a {self.model}")
        migration = ColumnMigration(Columns.of(state.get("features", ()), state.get("actions", ())), self.columns)
        self.encoder.restore(state["encoder"], migration)
        self.ranker.restore(state["ranker"], migration)
        self.examples = state["examples"]
        self._pending_texts.restore(state["unread"])
        self._items_by_future_scenario = {name: set(items) for name, items in state["awaiting"].items()}
        for name in self._items_by_future_scenario.keys() & self._scenario_ids.keys():
            self._add_awaited_items(name)
        if state.get("text_model") != self._text_model_name:
            self.items_outdated = True
            self._pending_texts.restore({})
            self.encoder.table.clear_text_vectors()
