"""The learner: admits items, takes examples in, judges, learns, and hands out weights. No Kafka, no clock: equal inputs, equal models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eddy.contract.model import MAX_SCENARIOS, Columns
from eddy.contract.records import Item
from eddy.contract.scenarios import Scenario, Scenarios
from eddy.text import TextModel, item_text
from eddy_trainer.core.effort import Effort
from eddy_trainer.core.encoder_training import EncoderPolicy, EncoderTrainer
from eddy_trainer.core.examples import Example, ImpressionExample, NextItemExample
from eddy_trainer.core.last_known_good import LastKnownGood
from eddy_trainer.core.migration import Moves
from eddy_trainer.core.models import DEFAULT_MODEL, MODELS
from eddy_trainer.core.models.ranker import Ranker
from eddy_trainer.core.progressive import Losses, LossWindow, ScenarioLossWindows
from eddy_trainer.core.quality import Quality
from eddy_trainer.core.ranker_training import RankerPolicy, RankerTrainer
from eddy_trainer.core.ranking_memory import CandidateSets, Impressions
from eddy_trainer.core.release_gate import HELD, LOG_LOSS, GatePolicy, is_worse

LOSS_WINDOW = 2000
SCENARIO_MEMORY = 10_000  # of all scenarios
# So many of the examples observed at once are also judged by the last known good release and its successor.
COMPARED_CANDIDATE_SETS = 64
COMPARED_IMPRESSIONS = 256
MINIMAL_STEP_SHARE = 0.25
TEXT_BATCH = 32


@dataclass(frozen=True, slots=True)
class LearnerPolicy:
    """Everything that decides what is learned from given examples."""

    seed: int = 0
    model: str = DEFAULT_MODEL
    encoder: EncoderPolicy = field(default_factory=EncoderPolicy)
    ranker: RankerPolicy = field(default_factory=RankerPolicy)
    gate: GatePolicy = field(default_factory=GatePolicy)
    columns: Columns = field(default_factory=Columns)


@dataclass(frozen=True, slots=True)
class ItemContent:
    """An item as it comes in: what it says about itself, in categories and attributes and in `words`, and its scenarios (none: all)."""

    item_id: str
    categories: Sequence[str] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    words: str = ""
    scenarios: Sequence[str] = ()

    @staticmethod
    def of(item: Item) -> "ItemContent":
        """What an `item` record says."""
        words = item_text(item["title"], item["text"], item["categories"], item["attributes"])
        return ItemContent(item["item_id"], item["categories"], item["attributes"], words, item["scenarios"])


@dataclass(frozen=True, slots=True)
class StepReport:
    """What a turn of learning did."""

    encoder_steps: int
    shed_steps: int  # encoder steps that were left out
    ranker_steps: int
    encoder_loss: float


@dataclass(frozen=True, slots=True)
class Rollback:
    """Why the ranker in training went back, and to which version."""

    reason: str
    version: int


@dataclass(frozen=True, slots=True)
class Weights:
    """A model at one moment, cut loose from the one in training. `model` is its name among eddy_trainer.core.models."""

    model: str
    columns: Columns
    encoder: dict[str, torch.Tensor]
    ranker: dict[str, torch.Tensor]
    item_ids: list[str]  # row -> item; row 0 is padding
    vectors: NDArray[np.float32]  # [rows, DIM]

    def finite(self) -> bool:
        """Whether every number is one."""
        tensors = (*self.encoder.values(), *self.ranker.values(), torch.from_numpy(self.vectors))
        return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


class Learner:
    """Encoder, ranker and their progressive validation as one. `texts` reads what items say in words; without it nobody does."""

    def __init__(self, scenarios: Scenarios, policy: LearnerPolicy, texts: TextModel | None = None) -> None:
        self._texts = texts
        self._text_model = texts.name if texts is not None else ""
        self.items_outdated = False
        self._pending_texts: dict[str, str] = {}
        self._ids: dict[str, int] = {}  # of scenarios, by name
        self.scenario_windows = ScenarioLossWindows(LOSS_WINDOW, SCENARIO_MEMORY)
        self._awaiting: dict[str, set[str]] = {}  # items that name a scenario which is not there yet
        self._unseen_only = torch.zeros(MAX_SCENARIOS, dtype=torch.bool)
        # Which actions are positive feedback in which scenario.
        self.columns = policy.columns
        self._heads = torch.zeros((MAX_SCENARIOS, len(self.columns.actions)), dtype=torch.bool)
        scenarios.subscribe(self._add_scenario)
        self.model = policy.model
        self.gate = policy.gate
        kinds = MODELS[policy.model]
        self.encoder = EncoderTrainer(kinds.encoder, policy.encoder, self._unseen_only, policy.seed, self.columns)
        self.ranker = RankerTrainer(kinds.ranker, policy.ranker, self._heads, policy.seed, self.columns)
        self._serving: Ranker | None = None
        self._serving_version = 0
        self._last_good = LastKnownGood()
        self.quality = Quality(scenarios, len(self.columns.actions))
        self.label_window = LossWindow(LOSS_WINDOW)
        self.next_item_window = LossWindow(LOSS_WINDOW)
        self.examples = 0

    def _add_scenario(self, name: str, scenario: Scenario) -> None:
        self._ids[name] = scenario.id
        self.scenario_windows.admit(name, scenario.id)
        self._join(name)
        self._unseen_only[scenario.id] = "seen" in scenario.filters
        for action, rule in scenario.actions.items():
            if rule.positive and action in self.columns.actions:
                self._heads[scenario.id, self.columns.actions.index(action)] = True

    def _join(self, name: str) -> None:
        for item_id in self._awaiting.pop(name, ()):
            self.encoder.table.add_to_scenario([self.encoder.table.row(item_id)], self._ids[name])

    @property
    def untrained(self) -> int:
        """Examples, in events, that wait to be learned from."""
        return max(self.encoder.untrained_events, self.ranker.untrained)

    def admit(self, items: Sequence[ItemContent]) -> None:
        """Take items, or what changed about them, into the table. Their words wait for `read`."""
        for item in items:
            ids = [self._ids[name] for name in item.scenarios if name in self._ids] if item.scenarios else None
            self.encoder.table.describe(item.item_id, item.categories, item.attributes, ids)
            self._await(item)
            if self._texts is not None and (item.words or self.encoder.table.has_text_vector(item.item_id)):
                self._pending_texts[item.item_id] = item.words

    def _await(self, item: ItemContent) -> None:
        for waiting in self._awaiting.values():
            waiting.discard(item.item_id)
        for name in set(item.scenarios) - self._ids.keys():
            self._awaiting.setdefault(name, set()).add(item.item_id)

    @property
    def pending_texts(self) -> int:
        """Items whose words nobody has read."""
        return len(self._pending_texts)

    def embed_texts(self, most: int = TEXT_BATCH) -> None:
        """Read the words of up to `most` items: some 8 ms each."""
        item_ids = list(islice(self._pending_texts, most))
        if self._texts is not None and item_ids:
            self.encoder.table.set_texts(
                item_ids, self._texts.embed([self._pending_texts.pop(item_id) for item_id in item_ids])
            )

    def observe(self, examples: Sequence[Example]) -> None:
        """Take examples in and judge on them, before any step learns from them."""
        events = [example for example in examples if isinstance(example, NextItemExample)]
        labelled = [example for example in examples if isinstance(example, ImpressionExample)]
        lists, shown = self.ranker.observe(events, labelled)
        serving = self._serving or self.ranker.ranker
        with torch.no_grad():
            self._compare(serving, lists, shown)
            self._judge(serving, lists, shown, labelled)
        self.encoder.observe(events)
        self.examples += len(examples)

    def _compare(self, serving: Ranker, lists: CandidateSets, shown: Impressions) -> None:
        """The ranker in training beside the one that serves, and beside those that are kept to go back to."""
        of_lists, of_shown = self._losses([serving, self.ranker.ranker], lists, shown)
        self.next_item_window.add(*of_lists)
        self.label_window.add(*of_shown)
        self.scenario_windows.add(shown.scenarios.numpy(), *of_shown)
        if self._last_good.rankers:
            rankers = [*self._last_good.rankers, self.ranker.ranker]
            self._last_good.add(
                *self._losses(rankers, lists.first(COMPARED_CANDIDATE_SETS), shown.first(COMPARED_IMPRESSIONS))
            )

    def _losses(
        self, rankers: Sequence[Ranker], lists: CandidateSets, shown: Impressions
    ) -> tuple[list[Losses], list[Losses]]:
        """Of each list, and of each shown item, by each of `rankers`."""
        return (
            [self.ranker.candidate_set_losses(each, lists).numpy() for each in rankers],
            [self.ranker.impression_losses(each, shown).numpy() for each in rankers],
        )

    def _judge(
        self, serving: Ranker, lists: CandidateSets, shown: Impressions, labelled: Sequence[ImpressionExample]
    ) -> None:
        if len(lists):
            self.quality.add_candidate_sets(
                serving(lists.features, lists.scenarios)[0].numpy(), lists.scenarios.numpy(), lists.chosen
            )
        # A later, stronger action on an item is no second label of it.
        first = np.repeat([each.kind == "label" for each in labelled], [len(each.features) for each in labelled])
        first = first[
            len(first) - len(shown.actions) :
        ]  # more than fits the memory came at once: its last ones are there
        if first.any():
            probabilities = torch.sigmoid(serving.shown(shown.features, shown.scenarios, shown.positions)).numpy()
            self.quality.add_impressions(
                probabilities[first], shown.scenarios.numpy()[first], shown.actions.numpy()[first]
            )

    def step(self, effort: Effort = Effort.FULL) -> StepReport:
        """Learn from all that was observed since the last step."""
        wanted = self.encoder.planned_steps()
        losses = self.encoder.step(rehearse=effort is Effort.FULL) if wanted else []
        steps = self.ranker.step(MINIMAL_STEP_SHARE if effort is Effort.MINIMAL else 1.0)
        return StepReport(len(losses), wanted - len(losses), steps, float(np.mean(losses)) if losses else 0.0)

    def snapshot(self) -> Weights:
        """The weights as they are now."""
        return Weights(
            model=self.model,
            columns=self.columns,
            encoder={name: value.clone() for name, value in self.encoder.encoder.state_dict().items()},
            ranker={name: value.clone() for name, value in self.ranker.ranker.state_dict().items()},
            item_ids=list(self.encoder.table.ids),
            vectors=self.encoder.table.all_vectors().numpy(),
        )

    def set_serving(self, weights: Weights, version: int = 0) -> None:
        """`weights` were released: from now on they are what the candidate is compared with."""
        self._serving = self._serving or MODELS[self.model].ranker(self.columns)
        self._serving.load_state_dict(weights.ranker)
        self._serving_version = version
        self._last_good.note_release(self._serving, version, self.gate)

    def regressed(self) -> bool:
        """Whether the ranker in training has become worse than the last known good release, by the gate's measure."""
        return self._last_good.is_worse(self.gate)

    def roll_back(self) -> "Rollback":
        """Go back to the serving ranker where its successors regressed and not itself (the gate holds them, or is about to), else to the
        last known good release; forget what was learned since. The encoder, which this comparison does not judge, stays.

        Raises RuntimeError before the first release.
        """
        last_good = self._last_good.release
        if self._serving is None or last_good is None:
            raise RuntimeError("nothing was released that could be gone back to")
        held = is_worse(self.label_window.compare(), replace(self.gate, errors=self.gate.errors / 2))
        self.ranker.reset_to(self._serving if held else last_good.ranker)
        self._last_good.rolled_back()
        for window in (self.label_window, self.next_item_window, self.scenario_windows):
            window.clear()
        return Rollback(HELD, self._serving_version) if held else Rollback(LOG_LOSS, last_good.version)

    def state(self) -> dict[str, Any]:
        """Everything that learning goes on from, for a checkpoint."""
        return {
            "model": self.model,
            "features": list(self.columns.features),
            "actions": list(self.columns.actions),
            "text_model": self._text_model,
            "unread": dict(self._pending_texts),
            "awaiting": {name: list(items) for name, items in self._awaiting.items()},
            "encoder": self.encoder.state(),
            "ranker": self.ranker.state(),
            "examples": self.examples,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned, moved to the features and actions of this learner, which has learned nothing yet.

        `items_forgotten` says that items must be admitted anew, since another language model read them. Raises ValueError for the state
        of another model.
        """
        if state["model"] != self.model:
            raise ValueError(f"a state of {state['model']}, not of {self.model}")
        moves = Moves(Columns.of(state.get("features", ()), state.get("actions", ())), self.columns)
        self.encoder.restore(state["encoder"], moves)
        self.ranker.restore(state["ranker"], moves)
        self.examples = state["examples"]
        self._pending_texts = dict(state["unread"])
        self._awaiting = {name: set(items) for name, items in state["awaiting"].items()}
        for name in self._awaiting.keys() & self._ids.keys():
            self._join(name)
        if state.get("text_model") != self._text_model:
            self.items_outdated = True
            self._pending_texts.clear()
            self.encoder.table.clear_text_vectors()
