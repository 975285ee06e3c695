"""Encoders that see a history as a bag: the mean of its interactions at every place."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from services.trainer.models.encoder import Asked, Encoder, gate_of, init
from shared.model_contract import DIM, MAX_SCENARIOS


class Pooled(Encoder):
    """The mean of what was seen so far, later things counting more: what stands beside rankers that need no encoder of their own.

    FISM (Kabbur, Ning and Karypis 2013) with a learned forgetting.
    """

    derived = ("forgetting",)

    def __init__(self) -> None:
        super().__init__()
        self.forgetting = nn.Parameter(torch.tensor(-2.0))

    def constants(self, length: int, queries: int) -> list[Tensor]:
        """How much each place counts for the last `queries` places: [queries, length]."""
        place = torch.arange(length)
        distance = (place[:, None] - place[None, :])[-queries:]
        return [torch.exp(-functional.softplus(self.forgetting) * distance.clamp(min=0)) * (distance >= 0)]

    def states(self, x: Tensor, asked: Asked) -> Tensor:
        present = asked.seen.present
        weights = asked.constants[0] * present[:, None, :]
        pooled: Tensor = weights @ x / weights.sum(dim=-1, keepdim=True).clamp(min=1e-6)
        # An empty history has but the embedding of its padding.
        return pooled + x[:, -asked.queries :] * (~present[:, -asked.queries :, None])


class YoutubeDnn(Pooled):
    """`youtube_dnn`: averaged embeddings through a tower of ReLU layers (Covington, Adams and Sargin 2016).

    How long ago the last interaction was, its action and its value are inputs beside the average.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(init(2 * DIM, 2 * DIM))
        self.first_bias = nn.Parameter(torch.zeros(2 * DIM))
        self.second = nn.Parameter(init(2 * DIM, DIM))
        self.second_bias = nn.Parameter(torch.zeros(DIM))
        self.tower_gate = nn.Parameter(torch.zeros(MAX_SCENARIOS, 2 * DIM))

    def states(self, x: Tensor, asked: Asked) -> Tensor:
        pooled = super().states(x, asked)
        hidden = torch.relu(torch.cat([pooled, x[:, -asked.queries :]], dim=-1) @ self.first + self.first_bias)
        hidden = hidden * gate_of(asked.scenarios, self.tower_gate)
        hidden = asked.noise(hidden) if asked.noise else hidden
        return pooled + hidden @ self.second + self.second_bias


class Ncf(Pooled):
    """`ncf`: neural matrix factorisation, NeuMF (He et al. 2017), where the user is the mean of their history.

    The dot product is the generalised matrix factorisation; the best by it are scored again with a perceptron of user and item added.
    """

    def __init__(self) -> None:
        super().__init__()
        self.of_user = nn.Parameter(init(DIM, DIM))
        self.of_item = nn.Parameter(init(DIM, DIM))
        self.hidden_bias = nn.Parameter(torch.zeros(DIM))
        self.second = nn.Parameter(init(DIM, DIM // 2))
        self.second_bias = nn.Parameter(torch.zeros(DIM // 2))
        self.out = nn.Parameter(torch.zeros(DIM // 2, 1))

    def rescore(self, users: Tensor, items: Tensor) -> Tensor:
        factorised = (items @ users[:, :, None])[..., 0]
        unit = functional.normalize(users, dim=-1) @ self.of_user
        hidden = torch.relu(unit[:, None] + items @ self.of_item + self.hidden_bias)
        hidden = torch.relu(hidden @ self.second + self.second_bias)
        return factorised + (hidden @ self.out)[..., 0]
