"""A history as a bag: the mean of its interactions at every place. What `linear`, `logistic` and `mlp` have for an encoder."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from eddy.contract.model import Columns
from eddy_trainer.core.models.encoder import Encoder, EncoderQuery


class Pooled(Encoder):
    """The mean of what was seen so far, later things counting more: what stands beside rankers that need no encoder of their own.

    FISM (Kabbur, Ning and Karypis 2013) with a learned forgetting.
    """

    derived = ("forgetting",)

    def __init__(self, columns: Columns) -> None:
        super().__init__(columns)
        self.forgetting = nn.Parameter(torch.tensor(-2.0))

    def constants(self, length: int, queries: int) -> list[Tensor]:
        """How much each place counts for the last `queries` places: [queries, length]."""
        place = torch.arange(length)
        distance = (place[:, None] - place[None, :])[-queries:]
        return [torch.exp(-functional.softplus(self.forgetting) * distance.clamp(min=0)) * (distance >= 0)]

    def states(self, x: Tensor, asked: EncoderQuery) -> Tensor:
        present = asked.seen.present
        weights = asked.constants[0] * present[:, None, :]
        pooled: Tensor = weights @ x / weights.sum(dim=-1, keepdim=True).clamp(min=1e-6)
        # An empty history has but the embedding of its padding.
        return pooled + x[:, -asked.queries :] * (~present[:, -asked.queries :, None])
