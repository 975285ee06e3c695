"""The history as a weighted mean of its interactions: the encoder of `linear`, `logistic` and `mlp`."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from eddy.contract.model import Columns
from eddy_trainer.core.models.encoder import Encoder, EncoderQuery


class Pooled(Encoder):
    """The mean of all interactions so far, with exponentially lower weights for older ones.

    FISM (Kabbur, Ning and Karypis 2013) with a learned rate of forgetting.
    """

    derived = ("forgetting",)

    def __init__(self, columns: Columns) -> None:
        super().__init__(columns)
        self.forgetting = nn.Parameter(torch.tensor(-2.0))

    def constants(self, length: int, queries: int) -> list[Tensor]:
        """Return the weight of each position for the last `queries` positions: [queries, length]."""
        position = torch.arange(length)
        distance = (position[:, None] - position[None, :])[-queries:]
        return [torch.exp(-functional.softplus(self.forgetting) * distance.clamp(min=0)) * (distance >= 0)]

    def states(self, x: Tensor, query: EncoderQuery) -> Tensor:
        present = query.histories.present
        weights = query.constants[0] * present[:, None, :]
        pooled: Tensor = weights @ x / weights.sum(dim=-1, keepdim=True).clamp(min=1e-6)
        # An empty history has only the embedding of its padding.
        return pooled + x[:, -query.queries :] * (~present[:, -query.queries :, None])
