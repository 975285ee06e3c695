"""The list-wise ranker: weighs the encoder's opinion and the counts of a candidate, and predicts every action on it.

`scores` order a list: a learned additive score of the features plus a small network of all of them, trained by the softmax over a
considered list (ListNet with one relevant item: Cao et al. 2007). `predictions` answer for each action how likely it is on a shown item;
the place it was shown in is an input while training and the first place when serving, so that being seen is not taken for being liked.
"""

from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from shared.model_contract import ACTIONS, FEATURES, MAX_SCENARIOS

HIDDEN = 64
POSITIONS = 64
CLIP = 5.0
MOMENTUM = 0.02

# Where it starts before anything is learned: the counts, and a little of an encoder that knows nothing yet.
PRIOR = {"covisit_score": 1.0, "popularity": 0.3, "encoder_score": 0.2}


class Ranker(nn.Module):
    """Features of candidates -> list-wise scores and one logit per action."""

    mean: Tensor
    deviation: Tensor
    batches: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.additive = nn.Parameter(torch.tensor([[PRIOR.get(name, 0.0)] for name in FEATURES]))
        self.first = nn.Parameter(_init(len(FEATURES), HIDDEN))
        self.first_bias = nn.Parameter(torch.zeros(HIDDEN))
        self.second = nn.Parameter(_init(HIDDEN, HIDDEN))
        self.second_bias = nn.Parameter(torch.zeros(HIDDEN))
        self.gate = nn.Parameter(torch.zeros(MAX_SCENARIOS, HIDDEN))
        self.shift = nn.Parameter(torch.zeros(MAX_SCENARIOS, HIDDEN))
        self.score = nn.Parameter(torch.zeros(HIDDEN, 1))
        self.heads = nn.Parameter(torch.zeros(HIDDEN, len(ACTIONS)))
        self.head_bias = nn.Parameter(torch.full((MAX_SCENARIOS, len(ACTIONS)), -2.0))
        self.position = nn.Parameter(torch.zeros(POSITIONS, len(ACTIONS)))
        self.register_buffer("mean", torch.zeros(len(FEATURES)))
        self.register_buffer("deviation", torch.ones(len(FEATURES)))
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, features: Tensor, scenarios: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, FEATURES], [B] -> scores [B, C], logits [B, C, ACTIONS] without the part of the position."""
        x = ((features - self.mean) / self.deviation).clamp(-CLIP, CLIP)
        hidden = functional.silu(x @ self.first + self.first_bias)
        gate, shift = (functional.embedding(scenarios, table)[:, None] for table in (self.gate, self.shift))
        hidden = torch.addcmul(shift, hidden, 1 + gate)
        hidden = functional.silu(hidden @ self.second + self.second_bias)
        scores = (x @ self.additive + hidden @ self.score)[..., 0]
        return scores, hidden @ self.heads + functional.embedding(scenarios, self.head_bias)[:, None]

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


def list_losses(scores: Tensor, counts: Tensor, targets: Tensor) -> Tensor:
    """Softmax loss of each list [B]: `counts` [B] of the C places are filled, the relevant one is at `targets` [B]."""
    absent = torch.arange(scores.shape[1]) >= counts[:, None]
    return functional.cross_entropy(scores.masked_fill(absent, -1e9), targets, reduction="none")


def action_losses(logits: Tensor, actions: Tensor, heads: Tensor) -> tuple[Tensor, Tensor]:
    """Log-losses [n, ACTIONS] of shown items and which of them count.

    A negative (`actions` -1) teaches each of `heads` [n, ACTIONS], the actions its scenario has. A positive teaches the head of its
    action alone: whether a stronger action follows is not known yet, and comes as an example of its own.
    """
    wanted = functional.one_hot(actions.clamp(min=0), logits.shape[1]).bool() & (actions >= 0)[:, None]
    counted = wanted | (heads & (actions < 0)[:, None])
    return functional.binary_cross_entropy_with_logits(logits, wanted.float(), reduction="none"), counted


def _init(rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns) / sqrt(rows)
