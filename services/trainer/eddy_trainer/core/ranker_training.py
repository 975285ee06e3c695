"""Trains the ranker on remembered candidate sets and impressions, several steps per micro-batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eddy.contract.model import Columns
from eddy_trainer.core.examples import ImpressionExample, NextItemExample
from eddy_trainer.core.migration import ColumnMigration
from eddy_trainer.core.models.ranker import Ranker, action_losses
from eddy_trainer.core.ranking_memory import CandidateSetMemory, CandidateSets, ImpressionMemory, Impressions

NORM_LIMIT = 5.0
BIAS_RATE_FACTOR = 5.0
IMPRESSIONS_PER_SLATE = 10


@dataclass(frozen=True, slots=True)
class RankerPolicy:
    """Training of the ranker: five steps per 256 new events, shorter ones until `warm_up_candidate_sets` are remembered."""

    rate: float = 2e-3
    examples_per_step: int = 51
    candidate_sets_per_step: int = 128
    impressions_per_step: int = 512
    warm_up_candidate_sets: int = 4000


class RankerTrainer:
    """A ranker of the given kind, its memories and its optimiser. `heads` [MAX_SCENARIOS, ACTIONS] marks the actions of each scenario."""

    def __init__(self, kind: type[Ranker], policy: RankerPolicy, heads: Tensor, seed: int, columns: Columns) -> None:
        self.policy = policy
        self._random = np.random.default_rng(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.ranker = kind(columns)
        self._heads = heads
        self.candidate_sets = CandidateSetMemory(len(columns.features))
        self.impressions = ImpressionMemory(len(columns.features))
        self._reset()

    def _reset(self) -> None:
        """Start with a new optimiser, and nothing to train on."""
        self._optimiser = torch.optim.Adam(self._groups(), lr=self.policy.rate, betas=(0.9, 0.98))
        self._untrained_events = 0
        self._untrained_impressions = 0
        self._due_steps = 0.0

    def clear(self) -> None:
        """Clear the memories. A service does so at its start too, so that it has all of their memory from then on (some 70 MB)."""
        self.candidate_sets.clear()
        self.impressions.clear()

    def reset_to(self, ranker: Ranker) -> None:
        """Take the weights of `ranker` and clear the memories, whose examples may have caused the regression."""
        self.ranker.load_state_dict(ranker.state_dict())
        self.clear()
        self._reset()

    @property
    def untrained(self) -> int:
        """Number of events, or of impressions per IMPRESSIONS_PER_SLATE, that no step was trained on yet."""
        return max(self._untrained_events, -(-self._untrained_impressions // IMPRESSIONS_PER_SLATE))

    def observe(
        self, events: Sequence[NextItemExample], labelled: Sequence[ImpressionExample]
    ) -> tuple[CandidateSets, Impressions]:
        """Remember examples for training; returns them as batches, for evaluation before training.

        Superseded candidate sets are left out: they were made for an earlier next item.
        """
        ranked = [event for event in events if event.target >= 0 and len(event.features) and not event.superseded]
        candidate_sets = self.candidate_sets.add(ranked)
        impressions = self.impressions.add(labelled)
        for features in (candidate_sets.filled_features(), impressions.features):
            if len(features):
                self.ranker.standardise_by(features)
        self._untrained_events += len(events) if len(self.candidate_sets) else 0
        self._untrained_impressions += len(impressions.actions)
        return candidate_sets, impressions

    def forget(self, user_id: str) -> None:
        """Erase a user from the memories. What the weights have learned stays."""
        self.candidate_sets.forget(user_id)
        self.impressions.forget(user_id)

    def step(self, share: float = 1.0) -> int:
        """Make the gradient steps that the policy sets for the untrained events, or a `share` of them; returns their number."""
        self._due_steps += share * self.untrained / self.policy.examples_per_step
        steps = max(1, round(self._due_steps)) if self.untrained else 0
        self._set_learning_rate(min(1.0, self._due_steps))
        self._due_steps = max(0.0, self._due_steps - steps)
        self._untrained_events = self._untrained_impressions = 0
        for _ in range(steps):
            self._gradient_step()
        return steps

    def candidate_set_losses(self, ranker: Ranker, candidate_sets: CandidateSets) -> Tensor:
        """Return the loss on each candidate set [B]."""
        return ranker.candidate_set_losses(
            ranker(candidate_sets.features, candidate_sets.scenarios)[0], candidate_sets.chosen
        )

    def impression_losses(self, ranker: Ranker, impressions: Impressions) -> Tensor:
        """Return the log-loss on each impression [n], summed over the heads that it trains."""
        logits = ranker.impression_logits(impressions.features, impressions.scenarios, impressions.positions)
        losses, counted = action_losses(logits, impressions.actions, self._heads[impressions.scenarios])
        return (losses * counted).sum(1)

    def state(self) -> dict[str, Any]:
        """Return weights and optimiser for a checkpoint, without the memories. Keys are part of the checkpoint format."""
        return {
            "ranker": self.ranker.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "random": self._random.bit_generator.state,
        }

    def restore(self, state: dict[str, Any], migration: ColumnMigration) -> None:
        """Restore from the result of `state`, migrated to the columns of this ranker, which must be untrained."""
        moments = migration.moments(state["optimiser"], self._optimiser, self.ranker)
        self.ranker.load_state_dict(migration.weights(state["ranker"], self.ranker))
        self._optimiser.load_state_dict(moments)
        self._random.bit_generator.state = state["random"]

    def _set_learning_rate(self, share: float) -> None:
        """Shorten steps for few examples (as in the encoder) and while the memories are nearly empty: a few candidate sets
        sampled again and again would be learned by heart, and the initial weights rank better than that."""
        share *= max(self._warmth())
        for group, factor in zip(self._optimiser.param_groups, (1.0, BIAS_RATE_FACTOR), strict=True):
            group["lr"] = share * factor * self.policy.rate

    def _warmth(self) -> tuple[float, float]:
        """Return how full the memories of candidate sets and impressions are, 0..1, where 1 allows the full learning rate."""
        full = self.policy.warm_up_candidate_sets
        return min(1.0, len(self.candidate_sets) / full), min(1.0, len(self.impressions) / IMPRESSIONS_PER_SLATE / full)

    def _groups(self) -> list[dict[str, Any]]:
        """Return parameter groups: biases of positions and actions start far from their values, so their learning rate is higher."""
        biases = [self.ranker.position, self.ranker.head_bias]
        others = [weights for weights in self.ranker.parameters() if all(weights is not bias for bias in biases)]
        return [{"params": others}, {"params": biases}]

    def _gradient_step(self) -> None:
        loss, warmth = torch.zeros(()), self._warmth()
        set_weight, impression_weight = (each / max(*warmth, 1e-9) for each in warmth)
        if len(self.candidate_sets):
            candidate_sets = self.candidate_sets.sample(self.policy.candidate_sets_per_step, self._random)
            loss = loss + set_weight * self.candidate_set_losses(self.ranker, candidate_sets).mean()
        if len(self.impressions):
            impressions = self.impressions.sample(self.policy.impressions_per_step, self._random)
            loss = loss + impression_weight * self.impression_losses(self.ranker, impressions).mean()
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        if bool(torch.isfinite(torch.nn.utils.clip_grad_norm_(self.ranker.parameters(), NORM_LIMIT))):
            self._optimiser.step()
