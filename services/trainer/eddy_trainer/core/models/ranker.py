"""What all rankers share: standardised features in, scores that order a list and one prediction per action out.

`predictions` answer for each action how likely it is on a shown item; the place it was shown in is an input while training and the first
place when serving, so that being seen is not taken for being liked.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from eddy.contract.model import ACTIONS, FEATURES, MAX_SCENARIOS
from eddy_trainer.core.models.encoder import by_scenario

POSITIONS = 64
CLIP = 5.0
MOMENTUM = 0.02

# Where a ranker may start before anything is learned: the counts, and a little of an encoder that knows nothing yet.
PRIOR = {"covisit_score": 1.0, "popularity": 0.3, "encoder_score": 0.2}


@dataclass(frozen=True, slots=True)
class Chosen:
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

    mean: Tensor
    deviation: Tensor
    batches: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.head_bias = nn.Parameter(torch.full((MAX_SCENARIOS, len(ACTIONS)), -2.0))
        self.position = nn.Parameter(torch.zeros(POSITIONS, len(ACTIONS)))
        self.register_buffer("mean", torch.zeros(len(FEATURES)))
        self.register_buffer("deviation", torch.ones(len(FEATURES)))
        self.register_buffer("batches", torch.zeros(()))

    def weigh(self, x: Tensor, scenarios: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised features [B, C, FEATURES], [B] -> scores [B, C], logits [B, C, ACTIONS] without scenario and position."""
        raise NotImplementedError

    @staticmethod
    def list_losses(scores: Tensor, chosen: Chosen) -> Tensor:
        """Loss of each list [B] given its scores [B, C]."""
        raise NotImplementedError

    def forward(self, features: Tensor, scenarios: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, FEATURES], [B] -> scores [B, C], logits [B, C, ACTIONS] without the part of the position."""
        x = ((features - self.mean) / self.deviation).clamp(-CLIP, CLIP)
        scores, logits = self.weigh(x, scenarios)
        return scores, logits + by_scenario(scenarios, self.head_bias)[:, None]

    def shown(self, features: Tensor, scenarios: Tensor, positions: Tensor) -> Tensor:
        """Logits [n, ACTIONS] of n shown items, each at its position: features [n, FEATURES]."""
        _, logits = self(features[:, None], scenarios)
        placed: Tensor = logits[:, 0] + functional.embedding(positions.clamp(0, POSITIONS - 1), self.position)
        return placed

    @torch.no_grad()
    def standardise_by(self, features: Tensor) -> None:
        """Move mean and deviation of the inputs towards those of a batch [n, FEATURES]; the first ones count fully."""
        self.batches += 1
        weight = max(1 / self.batches.item(), MOMENTUM)
        square = self.deviation.square() + self.mean.square()
        self.mean.lerp_(features.mean(0), weight)
        square = features.square().mean(0).lerp(square, 1 - weight) if self.batches > 1 else features.square().mean(0)
        self.deviation.copy_((square - self.mean.square()).clamp(min=1e-2).sqrt())


def prior() -> Tensor:
    """Weights [FEATURES, 1] of a linear score to start from."""
    return torch.tensor([[PRIOR.get(name, 0.0)] for name in FEATURES])


def mean_over_candidates(losses: Tensor, chosen: Chosen) -> Tensor:
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
