"""Trains encoder and item embeddings on user sequences: those with new events, and rehearsed ones."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddy.contract.model import Columns
from eddy_trainer.core.budgets import BudgetPolicy, TeachingBudgets
from eddy_trainer.core.embedding_table import BETAS, EmbeddingTable, TableWeights
from eddy_trainer.core.examples import NextItemExample, PastInteraction
from eddy_trainer.core.migration import ColumnMigration
from eddy_trainer.core.models.encoder import DROPOUT_RATE, Dropout, Encoder
from eddy_trainer.core.next_item import SampledCandidates, full_softmax, next_item_loss, sample_items, targets_in
from eddy_trainer.core.objectives import Auxiliary
from eddy_trainer.core.sequences import SequenceEntry, Sequences, SequenceStore

NORM_LIMIT = 5.0


@dataclass(frozen=True, slots=True)
class EncoderPolicy:
    """Training of the encoder. Default: two steps of 48 users per 256 new events."""

    rate: float = 5e-3
    dropout: float = DROPOUT_RATE
    events_per_step: int = 128
    users_per_step: int = 48
    min_sampled_users: int = 16
    full_softmax_items: int = 0  # catalogues up to this size are not sampled
    negatives: int = 512
    objective: str = "next_item"  # or with an auxiliary objective: eddy_trainer.core.objectives
    auxiliary_weight: float = 0.1
    max_users: int = 200_000
    by_length: bool = (
        False  # encode windows of similar length together: faster for large steps with many short histories
    )
    budgets: BudgetPolicy = field(default_factory=BudgetPolicy)


class EncoderTrainer:
    """An encoder of the given kind, the item table, the sequences and their optimiser.

    `unseen_only` [MAX_SCENARIOS] marks scenarios that never recommend an item twice. It is not copied: the owner may change it.
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
        self.budgets = TeachingBudgets(policy.budgets, seed)
        self._optimiser = self._new_optimiser()
        self._dropout = Dropout(self._random, policy.dropout)
        self._auxiliary = Auxiliary(policy.objective, policy.auxiliary_weight, self._random)
        self._unseen_only = unseen_only
        self._popularity: dict[int, NDArray[np.float64]] = {}  # interactions per row, by scenario
        self._pending_slots: dict[int, None] = {}  # sequences with untrained events, in order
        self._untrained_events = 0

    @property
    def untrained_events(self) -> int:
        """Number of events that no step was trained on yet."""
        return self._untrained_events

    def observe(self, examples: Sequence[NextItemExample]) -> list[bool]:
        """Append events to their users' sequences; the sequence of an unknown user starts with the history of the example.

        Returns whether each event is taught, by the budgets.
        """
        rows_by_scenario: dict[int, list[int]] = {}
        taught = []
        for example in examples:
            past = () if example.user_id in self.sequences else example.history
            is_taught = False
            for interaction in (*past, example.event):
                # An event of a deleted item may still arrive: the item must not come back with it.
                if self.table.is_deleted(interaction.item_id):
                    is_taught = False
                    continue
                entry = self._entry(example.user_id, interaction)
                slot = self.sequences.append(example.user_id, [entry])
                is_taught = entry.taught
                if is_taught:
                    rows_by_scenario.setdefault(entry.scenario, []).append(entry.row)
                    self._pending_slots[slot] = None
            taught.append(is_taught)
        for scenario, rows in rows_by_scenario.items():
            self.count_interactions(rows, scenario)
        self._untrained_events += sum(taught)
        return taught

    def expire(self, users_before: int | None, items_before: int | None) -> tuple[int, list[str]]:
        """Forget users without interactions from a time on, and items that have neither these nor a description.

        Returns the number of users, and the items.
        """
        users = [] if users_before is None else self.sequences.inactive_since(users_before)
        for user_id in users:
            self.forget(user_id)
        if items_before is None:
            return len(users), []
        rows, mentioned = self.table.unpublished(), self.sequences.is_mentioned(len(self.table), items_before)
        items = [self.table.ids[row] for row in rows[~mentioned[rows]].tolist()]
        self.remove_items(items, may_return=True)
        return len(users), items

    def remove_items(self, item_ids: Sequence[str], *, may_return: bool = False) -> None:
        """Delete items: their embeddings, and the interactions with them. For `may_return` see EmbeddingTable.remove."""
        rows = self.table.remove(item_ids, may_return=may_return)
        if len(rows):
            self.sequences.remove_items(rows)
            self.budgets.forget(rows)
            for counts in self._popularity.values():
                counts[rows[rows < len(counts)]] = 0

    def forget(self, user_id: str) -> None:
        """Erase a user's sequence. What the weights have learned from it stays."""
        moved = self.sequences.forget(user_id)
        if moved is not None:
            slot, last = moved
            pending = [each for each in self._pending_slots if each != slot]
            self._pending_slots = dict.fromkeys(slot if each == last else each for each in pending)

    def planned_steps(self) -> int:
        """Return the number of gradient steps that the policy sets for the untrained events."""
        return ceil(self._untrained_events / self.policy.events_per_step)

    def step(self, rehearse: bool) -> list[float]:
        """Train on all users with untrained events; returns the loss of each gradient step.

        With `rehearse` in `planned_steps`, each filled up with other users; otherwise in one step without them. Without untrained events
        there is no step.
        """
        if not self._untrained_events:
            return []
        slots = np.fromiter(self._pending_slots, np.int64)
        steps = self.planned_steps() if rehearse else 1
        self.set_learning_rate(min(1.0, self._untrained_events / (steps * self.policy.events_per_step)))
        few = self._untrained_events < self.policy.events_per_step
        self._pending_slots.clear()
        self._untrained_events = 0
        users = 0 if not rehearse else 2 * len(slots) if few else self.policy.users_per_step
        return [self.learn(self._sample_windows(part, users)) for part in self._split_users(slots, steps)]

    def state(self) -> dict[str, Any]:
        """Return everything that a checkpoint needs. Keys are part of the checkpoint format."""
        return {
            "encoder": self.encoder.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "table": self.table.state(),
            "sequences": self.sequences.state(),
            "budgets": self.budgets.state(),
            "popularity": self._popularity,
            "fresh": (list(self._pending_slots), self._untrained_events),
            "random": (self._generator.get_state(), self._random.bit_generator.state),
        }

    def restore(self, state: dict[str, Any], migration: ColumnMigration) -> None:
        """Restore from the result of `state`, migrated to the columns of this encoder, which must be untrained."""
        moments = migration.moments(state["optimiser"], self._optimiser, self.encoder)
        self.encoder.load_state_dict(migration.weights(state["encoder"], self.encoder))
        self._optimiser.load_state_dict(moments)
        self.table.restore(state["table"])
        sequences = state["sequences"]
        self.sequences.restore(sequences | {"actions": migration.actions(sequences["actions"])})
        if "budgets" in state:
            self.budgets.restore(state["budgets"])
        self._popularity = {
            scenario: torch.as_tensor(counts).numpy().copy() for scenario, counts in state["popularity"].items()
        }
        slots, self._untrained_events = state["fresh"]
        self._pending_slots = dict.fromkeys(slots)
        self._generator.set_state(state["random"][0])
        self._random.bit_generator.state = state["random"][1]

    def reset_to(self, encoder: Encoder, table: TableWeights, item_ids: Sequence[str], appended: int) -> None:
        """Take the weights of a release that was trained on the first `appended` interactions. Later ones are not taught any more, since
        they may have caused the regression."""
        self.encoder.load_state_dict(encoder.state_dict())
        self.table.reset_to(table, item_ids)
        self._optimiser = self._new_optimiser()
        self.sequences.unteach(appended)
        self._pending_slots.clear()
        self._untrained_events = 0

    def _new_optimiser(self) -> torch.optim.Adam:
        return torch.optim.Adam(self._dense_parameters(), lr=self.policy.rate, betas=BETAS)

    def _dense_parameters(self) -> list[torch.nn.Parameter]:
        return [*self.encoder.parameters(), self.table.projection, self.table.text_projection]

    def _entry(self, user_id: str, interaction: PastInteraction) -> SequenceEntry:
        row = self.table.row(interaction.item_id)
        at, past = interaction.at, self.sequences.past(user_id)
        taught = self.budgets.admits(row, interaction.scenario, at, past)
        age_start = self.budgets.age_start(at)
        return SequenceEntry(row, interaction.action, interaction.scenario, interaction.value, at, taught, age_start)

    def count_interactions(self, rows: Sequence[int] | NDArray[np.int64], scenario: int) -> None:
        """Count interactions with the items of `rows` in a scenario, for sampling and for the scenarios of items."""
        np.add.at(self._counts(scenario), rows, 1)
        self.table.record_interactions(rows, scenario)

    def _counts(self, scenario: int) -> NDArray[np.float64]:
        """Return the interaction counts of a scenario, with an entry for each item of the table."""
        counts = self._popularity.get(scenario, np.zeros(0))
        if len(self.table) > len(counts):
            counts = np.concatenate([counts, np.zeros(2 * len(self.table) - len(counts))])
            self._popularity[scenario] = counts
        return counts

    def _split_users(self, slots: NDArray[np.int64], steps: int) -> list[NDArray[np.int64]]:
        """Divide users among steps, so that all are covered; few users are repeated in every step."""
        half = self.policy.users_per_step // 2
        if len(slots) <= half:
            return [slots] * steps
        return np.array_split(self._random.permutation(slots), steps)

    def set_learning_rate(self, share: float) -> None:
        """Set the learning rate to a share of the policy's rate.

        Steps for few events must be short: the length of Adam's steps does not depend on their number of examples, so a slow stream would
        otherwise be trained on a hundred times as much per event as a fast one.
        """
        self._optimiser.param_groups[0]["lr"] = share * self.policy.rate

    def learn(self, windows: Sequences) -> float:
        """Make one gradient step on `windows`; returns the loss. A gradient that is not finite is skipped."""
        result = next_item_loss(
            self.encoder,
            self.table,
            windows,
            self._candidates(windows),
            self._unseen_only,
            self._dropout,
            self._auxiliary,
            self.policy.by_length,
        )
        if not result.predictions:
            return 0.0
        self._optimiser.zero_grad()
        (result.loss + result.auxiliary_loss).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        gradient = result.embedding.grad
        norm = torch.nn.utils.clip_grad_norm_(self._dense_parameters(), NORM_LIMIT)
        if gradient is not None and bool(torch.isfinite(norm)) and bool(torch.isfinite(gradient).all()):
            self._optimiser.step()
            self.table.apply_gradient(result.rows, gradient, self._optimiser.param_groups[0]["lr"])
        return result.loss.item()

    def _sample_windows(self, slots: NDArray[np.int64], users: int) -> Sequences:
        """Return the last windows of the users in `slots` and, up to `users` in all, random windows of other users."""
        if not users:
            return self.sequences.windows(slots)
        count = max(self.policy.min_sampled_users, min(users, self.policy.users_per_step) - len(slots))
        others = self.sequences.sample(count, self._random)
        back = (self._random.random(len(others)) * (self.sequences.rewindable(others) + 1)).astype(np.int64)
        ends = np.concatenate([np.zeros(len(slots), np.int64), back])
        return self.sequences.windows(np.concatenate([slots, others]), ends)

    def _candidates(self, windows: Sequences) -> dict[int, SampledCandidates]:
        """Return the softmax candidates of each scenario that has targets."""
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
