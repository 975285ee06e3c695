"""The base of all rankers: standardised features -> a score to order candidates by, and a logit per action.

The logits are of the actions on an impression. Its position is an input in training and the first position in service, so that visibility
is not mistaken for preference.
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

# Initial weights of an untrained ranker: mostly counts, and little of the encoder, which is untrained too.
PRIOR = {"covisit_score": 1.0, "popularity": 0.3, "encoder_score": 0.2}


@dataclass(frozen=True, slots=True)
class ChosenItems:
    """The chosen items of B candidate sets: the first `counts` of C columns are filled, the chosen item is at `targets`.

    `values` [B] are the normalised values of the actions, 0..1.
    """

    counts: Tensor  # [B] i64
    targets: Tensor  # [B] i64
    values: Tensor  # [B] f32

    def is_filled(self, columns: int) -> Tensor:
        """[B, columns] bool, False for padding."""
        return torch.arange(columns) < self.counts[:, None]

    def is_target(self, columns: int) -> Tensor:
        """[B, columns] bool, True at the chosen item."""
        return torch.arange(columns) == self.targets[:, None]


class Ranker(nn.Module):
    """Features of candidates -> scores and one logit per action. Subclasses implement `score_standardised` and `candidate_set_losses`."""

    axes: ClassVar[Axes] = {
        "head_bias": (None, HEAD),
        "position": (None, HEAD),
        "mean": (FEATURE,),
        "deviation": (FEATURE,),
        "batches": (FEATURE,),
    }
    mean: Tensor
    deviation: Tensor
    batches: Tensor  # [FEATURES] number of batches in the mean and deviation of each input

    def __init__(self, columns: Columns) -> None:
        super().__init__()
        features, actions = len(columns.features), len(columns.actions)
        self.head_bias = nn.Parameter(torch.full((MAX_SCENARIOS, actions), -2.0))
        self.position = nn.Parameter(torch.zeros(POSITIONS, actions))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        self.register_buffer("batches", torch.zeros(features))

    def score_standardised(self, x: Tensor, scenarios: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised features [B, C, FEATURES], [B] -> scores [B, C], logits [B, C, ACTIONS] without biases of scenario and position."""
        raise NotImplementedError

    @staticmethod
    def candidate_set_losses(scores: Tensor, chosen: ChosenItems) -> Tensor:
        """Return the loss of each candidate set [B] given its scores [B, C]."""
        raise NotImplementedError

    def forward(self, features: Tensor, scenarios: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, FEATURES], [B] -> scores [B, C], logits [B, C, ACTIONS] without the bias of the position.

        A missing feature (NaN) is replaced by its mean: a standardised input of zero.
        """
        x = ((features - self.mean) / self.deviation).clamp(-CLIP, CLIP)
        x = torch.where(torch.isnan(features), 0.0, x)
        scores, logits = self.score_standardised(x, scenarios)
        return scores, logits + by_scenario(scenarios, self.head_bias)[:, None]

    def impression_logits(self, features: Tensor, scenarios: Tensor, positions: Tensor) -> Tensor:
        """Return logits [n, ACTIONS] of n impressions with features [n, FEATURES], each at its position."""
        _, logits = self(features[:, None], scenarios)
        at_position: Tensor = logits[:, 0] + functional.embedding(positions.clamp(0, POSITIONS - 1), self.position)
        return at_position

    @torch.no_grad()
    def standardise_by(self, features: Tensor) -> None:
        """Update mean and deviation of each input with a batch [n, FEATURES], ignoring missing values; the first batches weigh more."""
        present = ~features.isnan()
        count, any_present = present.sum(0).clamp(min=1), present.any(0)
        values = torch.where(present, features, 0.0)
        self.batches += any_present
        weight = torch.where(any_present, (1 / self.batches.clamp(min=1)).clamp(min=MOMENTUM), 0.0)
        square = self.deviation.square() + self.mean.square()
        self.mean.lerp_(values.sum(0) / count, weight)
        square.lerp_(values.square().sum(0) / count, weight)
        deviation = (square - self.mean.square()).clamp(min=1e-2).sqrt()
        self.deviation.copy_(torch.where(any_present, deviation, self.deviation))


def prior(columns: Columns) -> Tensor:
    """Return the initial weights [FEATURES, 1] of a linear score."""
    return torch.tensor([[PRIOR.get(name, 0.0)] for name in columns.features])


def mean_over_candidates(losses: Tensor, chosen: ChosenItems) -> Tensor:
    """Return the mean of pointwise losses [B, C] over the filled columns: [B]."""
    return (losses * chosen.is_filled(losses.shape[1])).sum(1) / chosen.counts.clamp(min=1)


def action_losses(logits: Tensor, actions: Tensor, heads: Tensor) -> tuple[Tensor, Tensor]:
    """Return log-losses [n, ACTIONS] of impressions, and a mask of those that count.

    A negative (`actions` -1) trains each of `heads` [n, ACTIONS], the actions of its scenario. A positive trains the head of its action
    only, because a stronger action may still follow, as an upgrade.
    """
    positive = functional.one_hot(actions.clamp(min=0), logits.shape[1]).bool() & (actions >= 0)[:, None]
    counted = positive | (heads & (actions < 0)[:, None])
    return functional.binary_cross_entropy_with_logits(logits, positive.float(), reduction="none"), counted
