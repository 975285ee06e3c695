"""Trains the ranker on considered lists and shown items, several steps a micro-batch over the last ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eddy.contract.model import Columns
from eddy_trainer.core.examples import ImpressionExample, NextItemExample
from eddy_trainer.core.migration import Moves
from eddy_trainer.core.models.ranker import Ranker, action_losses
from eddy_trainer.core.ranking_memory import CandidateSetMemory, CandidateSets, ImpressionMemory, Impressions

NORM_LIMIT = 5.0
OFFSET_RATE_FACTOR = 5.0
IMPRESSIONS_PER_SLATE = 10


@dataclass(frozen=True, slots=True)
class RankerPolicy:
    """How the ranker learns: five steps for each 256 fresh events, short ones until `warm_up_lists` are remembered."""

    rate: float = 2e-3
    examples_per_step: int = 51
    candidate_sets_per_step: int = 128
    impressions_per_step: int = 512
    warm_up_candidate_sets: int = 4000


class RankerTrainer:
    """A ranker of the given kind, with its memory and optimiser. `heads` [MAX_SCENARIOS, ACTIONS]: the actions that each scenario has."""

    def __init__(self, kind: type[Ranker], policy: RankerPolicy, heads: Tensor, seed: int, columns: Columns) -> None:
        self.policy = policy
        self._columns = columns
        self._random = np.random.default_rng(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.ranker = kind(columns)
        self._heads = heads
        self._begin()

    def _begin(self) -> None:
        """Nothing is remembered, no step was made."""
        self._optimiser = torch.optim.Adam(self._groups(), lr=self.policy.rate, betas=(0.9, 0.98))
        self.lists = CandidateSetMemory(len(self._columns.features))
        self.shown = ImpressionMemory(len(self._columns.features))
        self._untrained_events = 0
        self._untrained_impressions = 0
        self._due_steps = 0.0

    def reset_to(self, ranker: Ranker) -> None:
        """Take the weights of `ranker` and begin anew from there: what is remembered may be what led astray."""
        self.ranker.load_state_dict(ranker.state_dict())
        self._begin()

    @property
    def untrained(self) -> int:
        """Events, or shown items at a list's length each, that no step has learned from."""
        return max(self._untrained_events, -(-self._untrained_impressions // IMPRESSIONS_PER_SLATE))

    def observe(
        self, events: Sequence[NextItemExample], shown: Sequence[ImpressionExample]
    ) -> tuple[CandidateSets, Impressions]:
        """Remember what can be ranked; returned as batches, for judging before anything is learned from them.

        A list that was superseded teaches nothing here: what came next when it was asked for was another item.
        """
        ranked = [event for event in events if event.target >= 0 and len(event.features) and not event.superseded]
        lists = self.lists.add(ranked)
        items = self.shown.add(shown)
        for features in (lists.features[lists.chosen.filled(lists.features.shape[1])], items.features):
            if len(features):
                self.ranker.standardise_by(features)
        self._untrained_events += len(events) if len(self.lists) else 0
        self._untrained_impressions += len(items.actions)
        return lists, items

    def step(self, share: float = 1.0) -> int:
        """Learn in as many gradient steps as the recipe says, or a `share` of them; returns how many."""
        self._due_steps += share * self.untrained / self.policy.examples_per_step
        steps = max(1, round(self._due_steps)) if self.untrained else 0
        self._set_rate(min(1.0, self._due_steps))
        self._due_steps = max(0.0, self._due_steps - steps)
        self._untrained_events = self._untrained_impressions = 0
        for _ in range(steps):
            self._gradient_step()
        return steps

    def candidate_set_losses(self, ranker: Ranker, lists: CandidateSets) -> Tensor:
        """Loss of each list [B]."""
        return ranker.candidate_set_losses(ranker(lists.features, lists.scenarios)[0], lists.chosen)

    def impression_losses(self, ranker: Ranker, items: Impressions) -> Tensor:
        """Log-loss of each shown item [n]: the sum over the heads that it counts for."""
        logits = ranker.shown(items.features, items.scenarios, items.positions)
        losses, counted = action_losses(logits, items.actions, self._heads[items.scenarios])
        return (losses * counted).sum(1)

    def state(self) -> dict[str, Any]:
        """Weights and optimiser, for a checkpoint; the memory of lists fills again by itself."""
        return {
            "ranker": self.ranker.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "random": self._random.bit_generator.state,
        }

    def restore(self, state: dict[str, Any], moves: Moves) -> None:
        """Take over what `state` returned, moved to the columns of this ranker, which has learned nothing yet."""
        moments = moves.moments(state["optimiser"], self._optimiser, self.ranker)
        self.ranker.load_state_dict(moves.weights(state["ranker"], self.ranker))
        self._optimiser.load_state_dict(moments)
        self._random.bit_generator.state = state["random"]

    def _set_rate(self, share: float) -> None:
        """What is less than a step's worth of examples makes a shorter step (see EncoderTrainer), and so does a memory that is nearly
        empty: its few lists are drawn again and again, and the counts are a better ranker than what would be learned by heart."""
        share *= max(self._warmth())
        for group, speed in zip(self._optimiser.param_groups, (1.0, OFFSET_RATE_FACTOR), strict=True):
            group["lr"] = share * speed * self.policy.rate

    def _warmth(self) -> tuple[float, float]:
        """How far the memories of lists and of shown items are filled for learning at full rate, 0..1."""
        full = self.policy.warm_up_candidate_sets
        return min(1.0, len(self.lists) / full), min(1.0, len(self.shown) / IMPRESSIONS_PER_SLATE / full)

    def _groups(self) -> list[dict[str, Any]]:
        """Offsets that stand for whole places and actions have a long way to go, and few to average over: they move faster."""
        offsets = [self.ranker.position, self.ranker.head_bias]
        others = [one for one in self.ranker.parameters() if all(one is not offset for offset in offsets)]
        return [{"params": others}, {"params": offsets}]

    def _gradient_step(self) -> None:
        loss, warmth = torch.zeros(()), self._warmth()
        listed, shown = (one / max(*warmth, 1e-9) for one in warmth)
        if len(self.lists):
            lists = self.lists.sample(self.policy.candidate_sets_per_step, self._random)
            loss = loss + listed * self.candidate_set_losses(self.ranker, lists).mean()
        if len(self.shown):
            items = self.shown.sample(self.policy.impressions_per_step, self._random)
            loss = loss + shown * self.impression_losses(self.ranker, items).mean()
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        if bool(torch.isfinite(torch.nn.utils.clip_grad_norm_(self.ranker.parameters(), NORM_LIMIT))):
            self._optimiser.step()
