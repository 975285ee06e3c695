"""What all rankers share: standardised features in, scores that order a list and one prediction per action out.

`predictions` answer for each action how likely it is on a shown item; the place it was shown in is an input while training and the first
place when serving, so that being seen is not taken for being liked.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from eddy.contract.model import MAX_SCENARIOS, Columns
from eddy_trainer.core.models.axes import FEATURE, HEAD, Axes
from eddy_trainer.core.models.encoder import by_scenario

POSITIONS = 64
CLIP = 5.0
MOMENTUM = 0.02

# Where a ranker may start before anything is learned: the counts, and a little of an encoder that knows nothing yet.
PRIOR = {"covisit_score": 1.0, "popularity": 0.3, "encoder_score": 0.2}


@dataclass(frozen=True, slots=True)
class ChosenItems:
    """What was chosen out of B considered lists: the first `counts` of C places are filled, the relevant one is at `targets`.

    `values` [B] are the normalised values of the actions, 0..1.
    """

    counts: Tensor  # [B] i64
    targets: Tensor  # [B] i64
    values: Tensor  # [B] f32

    def filled(self, places: int) -> Tensor:
        """[B, places] bool."""
        return torch.arange(places) < self.counts[:, None]

    def wanted(self, places: int) -> Tensor:
        """[B, places] bool, True at the chosen item."""
        return torch.arange(places) == self.targets[:, None]


class Ranker(nn.Module):
    """Features of candidates -> scores and one logit per action. A kind implements `weigh` and `list_losses`."""

    axes: ClassVar[Axes] = {
        "head_bias": (None, HEAD),
        "position": (None, HEAD),
        "mean": (FEATURE,),
        "deviation": (FEATURE,),
        "batches": (FEATURE,),
    }
    mean: Tensor
    deviation: Tensor
    batches: Tensor  # [FEATURES] of which each input was standardised by

    def __init__(self, columns: Columns) -> None:
        super().__init__()
        features, actions = len(columns.features), len(columns.actions)
        self.head_bias = nn.Parameter(torch.full((MAX_SCENARIOS, actions), -2.0))
        self.position = nn.Parameter(torch.zeros(POSITIONS, actions))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        self.register_buffer("batches", torch.zeros(features))

    def score_standardised(self, x: Tensor, scenarios: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised features [B, C, FEATURES], [B] -> scores [B, C], logits [B, C, ACTIONS] without scenario and position."""
        raise NotImplementedError

    @staticmethod
    def candidate_set_losses(scores: Tensor, chosen: ChosenItems) -> Tensor:
        """Loss of each list [B] given its scores [B, C]."""
        raise NotImplementedError

    def forward(self, features: Tensor, scenarios: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, FEATURES], [B] -> scores [B, C], logits [B, C, ACTIONS] without the part of the position.

        A feature that is missing (not a number) counts as an average one: it adds what an input of zero adds.
        """
        x = ((features - self.mean) / self.deviation).clamp(-CLIP, CLIP)
        x = torch.where(torch.isnan(features), 0.0, x)
        scores, logits = self.score_standardised(x, scenarios)
        return scores, logits + by_scenario(scenarios, self.head_bias)[:, None]

    def shown(self, features: Tensor, scenarios: Tensor, positions: Tensor) -> Tensor:
        """Logits [n, ACTIONS] of n shown items, each at its position: features [n, FEATURES]."""
        _, logits = self(features[:, None], scenarios)
        placed: Tensor = logits[:, 0] + functional.embedding(positions.clamp(0, POSITIONS - 1), self.position)
        return placed

    @torch.no_grad()
    def standardise_by(self, features: Tensor) -> None:
        """Move mean and deviation of each input towards those of a batch [n, FEATURES]; its first ones count fully, missing ones not."""
        present = ~features.isnan()
        count, seen = present.sum(0).clamp(min=1), present.any(0)
        there = torch.where(present, features, 0.0)
        self.batches += seen
        weight = torch.where(seen, (1 / self.batches.clamp(min=1)).clamp(min=MOMENTUM), 0.0)
        square = self.deviation.square() + self.mean.square()
        self.mean.lerp_(there.sum(0) / count, weight)
        square.lerp_(there.square().sum(0) / count, weight)
        deviation = (square - self.mean.square()).clamp(min=1e-2).sqrt()
        self.deviation.copy_(torch.where(seen, deviation, self.deviation))


def prior(columns: Columns) -> Tensor:
    """Weights [FEATURES, 1] of a linear score to start from."""
    return torch.tensor([[PRIOR.get(name, 0.0)] for name in columns.features])


def mean_over_candidates(losses: Tensor, chosen: ChosenItems) -> Tensor:
    """Mean over the filled places of pointwise losses [B, C]: [B]."""
    return (losses * chosen.filled(losses.shape[1])).sum(1) / chosen.counts.clamp(min=1)


def action_losses(logits: Tensor, actions: Tensor, heads: Tensor) -> tuple[Tensor, Tensor]:
    """Log-losses [n, ACTIONS] of shown items and which of them count.

    A negative (`actions` -1) teaches each of `heads` [n, ACTIONS], the actions its scenario has. A positive teaches the head of its
    action alone: whether a stronger action follows is not known yet, and comes as an example of its own.
    """
    wanted = functional.one_hot(actions.clamp(min=0), logits.shape[1]).bool() & (actions >= 0)[:, None]
    counted = wanted | (heads & (actions < 0)[:, None])
    return functional.binary_cross_entropy_with_logits(logits, wanted.float(), reduction="none"), counted
