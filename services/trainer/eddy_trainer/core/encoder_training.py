"""Trains encoder and item table on whole user sequences: those of users who just did something, and replayed ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddy.contract.model import Columns
from eddy_trainer.core.embedding_table import BETAS, EmbeddingTable
from eddy_trainer.core.examples import NextItemExample, PastInteraction
from eddy_trainer.core.migration import Moves
from eddy_trainer.core.models.encoder import DROPOUT_RATE, Dropout, Encoder
from eddy_trainer.core.next_item import SampledCandidates, full_softmax, next_item_loss, sample_items, targets_in
from eddy_trainer.core.objectives import Auxiliary
from eddy_trainer.core.sequences import SequenceEntry, Sequences, SequenceStore

NORM_LIMIT = 5.0


@dataclass(frozen=True, slots=True)
class EncoderPolicy:
    """How the encoder learns: the recipe is two steps of 48 users for 256 fresh events, half of them recent."""

    rate: float = 5e-3
    dropout: float = DROPOUT_RATE
    events_per_step: int = 128
    users_per_step: int = 48
    min_sampled_users: int = 16
    full_softmax_items: int = 0  # catalogues up to this size need no sample
    negatives: int = 512
    objective: str = "next_item"  # or a self-supervised one beside it: eddy_trainer.core.objectives
    auxiliary_weight: float = 0.1
    max_users: int = 200_000
    by_length: bool = False  # windows of like length go through the encoder together: pays where steps are large and most users are new


class EncoderTrainer:
    """An encoder of the given kind, table, sequences and their optimiser.

    `unseen_only` [MAX_SCENARIOS] says which scenarios never recommend an item twice; whoever has it may change it.
    """

    def __init__(
        self, kind: type[Encoder], policy: EncoderPolicy, unseen_only: Tensor, seed: int, columns: Columns
    ) -> None:
        self.policy = policy
        self._generator = torch.Generator().manual_seed(seed)
        self._random = np.random.default_rng(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = kind(columns)
        self.table = EmbeddingTable(self._generator)
        self.sequences = SequenceStore(policy.max_users)
        self._optimiser = torch.optim.Adam(self._shared(), lr=policy.rate, betas=BETAS)
        self._dropout = Dropout(self._random, policy.dropout)
        self._auxiliary = Auxiliary(policy.objective, policy.auxiliary_weight, self._random)
        self._unseen_only = unseen_only
        self._popularity: dict[int, NDArray[np.float64]] = {}  # how often each row was acted on, by scenario
        self._fresh: dict[int, None] = {}
        self._untrained_events = 0

    @property
    def untrained_events(self) -> int:
        """Events taken in that no step has learned from."""
        return self._untrained_events

    def observe(self, examples: Sequence[NextItemExample]) -> None:
        """Append events to their users' sequences; an unknown user begins with the history of the example."""
        acted: dict[int, list[int]] = {}
        for example in examples:
            past = () if example.user_id in self.sequences else example.history
            steps = [self._step(event) for event in (*past, example.event)]
            self._fresh[self.sequences.append(example.user_id, steps)] = None
            for step in steps:
                acted.setdefault(step.scenario, []).append(step.row)
        for scenario, rows in acted.items():
            self.count(rows, scenario)
        self._untrained_events += len(examples)

    def planned_steps(self) -> int:
        """Gradient steps that the recipe has for the fresh events."""
        return ceil(self._untrained_events / self.policy.events_per_step)

    def step(self, rehearse: bool) -> list[float]:
        """Learn from all users with fresh events, in as many gradient steps as the recipe says; returns the losses.

        Without `replay` the fresh users are all there is, in as few steps.
        """
        fresh = np.fromiter(self._fresh, np.int64)
        steps = self.planned_steps() if rehearse else 1
        self.set_learning_rate(min(1.0, self._untrained_events / (steps * self.policy.events_per_step)))
        few = self._untrained_events < self.policy.events_per_step
        self._fresh.clear()
        self._untrained_events = 0
        wanted = 0 if not rehearse else 2 * len(fresh) if few else self.policy.users_per_step
        return [self._gradient_step(chosen, wanted) for chosen in self._portions(fresh, steps)]

    def state(self) -> dict[str, Any]:
        """Everything, for a checkpoint."""
        return {
            "encoder": self.encoder.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "table": self.table.state(),
            "sequences": self.sequences.state(),
            "popularity": self._popularity,
            "fresh": (list(self._fresh), self._untrained_events),
            "random": (self._generator.get_state(), self._random.bit_generator.state),
        }

    def restore(self, state: dict[str, Any], moves: Moves) -> None:
        """Take over what `state` returned, moved to the columns of this encoder, which has learned nothing yet."""
        moments = moves.moments(state["optimiser"], self._optimiser, self.encoder)
        self.encoder.load_state_dict(moves.weights(state["encoder"], self.encoder))
        self._optimiser.load_state_dict(moments)
        self.table.restore(state["table"])
        sequences = state["sequences"]
        self.sequences.restore(sequences | {"actions": moves.actions(sequences["actions"])})
        self._popularity = {
            scenario: torch.as_tensor(counts).numpy().copy() for scenario, counts in state["popularity"].items()
        }
        fresh, self._untrained_events = state["fresh"]
        self._fresh = dict.fromkeys(fresh)
        self._generator.set_state(state["random"][0])
        self._random.bit_generator.state = state["random"][1]

    def _shared(self) -> list[torch.nn.Parameter]:
        return [*self.encoder.parameters(), self.table.projection, self.table.text_projection]

    def _step(self, past: PastInteraction) -> SequenceEntry:
        return SequenceEntry(self.table.row(past.item_id), past.action, past.scenario, past.value, past.at)

    def count(self, rows: Sequence[int] | NDArray[np.int64], scenario: int) -> None:
        """Take in that the items of `rows` were acted on in a scenario: they are in it, and how likely a sample holds them."""
        np.add.at(self._counts(scenario), rows, 1)
        self.table.record_interactions(rows, scenario)

    def _counts(self, scenario: int) -> NDArray[np.float64]:
        """A place for each item of the table: those that nobody acted on yet too."""
        counts = self._popularity.get(scenario, np.zeros(0))
        if len(self.table) > len(counts):
            counts = np.concatenate([counts, np.zeros(2 * len(self.table) - len(counts))])
            self._popularity[scenario] = counts
        return counts

    def _portions(self, fresh: NDArray[np.int64], steps: int) -> list[NDArray[np.int64]]:
        """The fresh users of each step: all are covered; where there are few, each step sees them."""
        half = self.policy.users_per_step // 2
        if len(fresh) <= half:
            return [fresh] * steps
        return np.array_split(self._random.permutation(fresh), steps)

    def set_learning_rate(self, share: float) -> None:
        """Learn at a share of the policy's rate.

        A step for few events is a short one: Adam's steps have the same length whatever they are made of, and a stream that trickles would
        otherwise be learned from a hundred times as often as one that flows.
        """
        self._optimiser.param_groups[0]["lr"] = share * self.policy.rate

    def _gradient_step(self, fresh: NDArray[np.int64], users: int) -> float:
        return self.learn(self._draw(fresh, users))

    def learn(self, windows: Sequences) -> float:
        """One gradient step on `windows`; returns the loss. What is not finite changes nothing."""
        outcome = next_item_loss(
            self.encoder,
            self.table,
            windows,
            self._candidates(windows),
            self._unseen_only,
            self._dropout,
            self._auxiliary,
            self.policy.by_length,
        )
        if not outcome.places:
            return 0.0
        self._optimiser.zero_grad()
        (outcome.loss + outcome.auxiliary_loss).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        gradient = outcome.embedding.grad
        norm = torch.nn.utils.clip_grad_norm_(self._shared(), NORM_LIMIT)
        if gradient is not None and bool(torch.isfinite(norm)) and bool(torch.isfinite(gradient).all()):
            self._optimiser.step()
            self.table.apply_gradient(outcome.rows, gradient, self._optimiser.param_groups[0]["lr"])
        return outcome.loss.item()

    def _draw(self, fresh: NDArray[np.int64], users: int) -> Sequences:
        """The last windows of fresh users and, up to `users` in all, windows anywhere in the sequences of others."""
        if not users:
            return self.sequences.windows(fresh)
        fewest = self.policy.min_sampled_users
        others = self.sequences.sample(max(fewest, min(users, self.policy.users_per_step) - len(fresh)), self._random)
        back = (self._random.random(len(others)) * (self.sequences.rewindable(others) + 1)).astype(np.int64)
        ends = np.concatenate([np.zeros(len(fresh), np.int64), back])
        return self.sequences.windows(np.concatenate([fresh, others]), ends)

    def _candidates(self, windows: Sequences) -> dict[int, SampledCandidates]:
        """For each scenario in which something is to be predicted, what it is told from."""
        mentioned = np.unique(windows.rows)
        return {
            scenario: self._candidates_in(scenario, windows, self.table.filter_by_scenario(scenario, mentioned))
            for scenario in np.unique(windows.scenarios[windows.targets > 0]).tolist()
        }

    def _candidates_in(self, scenario: int, windows: Sequences, mentioned: NDArray[np.int64]) -> SampledCandidates:
        pool, targets = self.table.rows_of_scenario(scenario), targets_in(windows, scenario)
        if len(pool) <= self.policy.full_softmax_items:
            return full_softmax(pool, targets)
        return sample_items(pool, mentioned, targets, self._counts(scenario), self.policy.negatives, self._random)
