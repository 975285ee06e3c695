"""`ncf`: neural matrix factorisation, NeuMF (He et al. 2017), where the user is the mean of their history."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from eddy.contract.model import DIM, Columns
from eddy_trainer.core.models.encoder import scaled_normal
from eddy_trainer.core.models.pooling import Pooled


class Ncf(Pooled):
    """The dot product is the generalised matrix factorisation. Its top items are rescored with a perceptron of user and item added."""

    def __init__(self, columns: Columns) -> None:
        super().__init__(columns)
        self.of_user = nn.Parameter(scaled_normal(DIM, DIM))
        self.of_item = nn.Parameter(scaled_normal(DIM, DIM))
        self.hidden_bias = nn.Parameter(torch.zeros(DIM))
        self.second = nn.Parameter(scaled_normal(DIM, DIM // 2))
        self.second_bias = nn.Parameter(torch.zeros(DIM // 2))
        self.out = nn.Parameter(torch.zeros(DIM // 2, 1))

    def rescore(self, users: Tensor, items: Tensor) -> Tensor:
        factorised = (items @ users[:, :, None])[..., 0]
        unit = functional.normalize(users, dim=-1) @ self.of_user
        hidden = torch.relu(unit[:, None] + items @ self.of_item + self.hidden_bias)
        hidden = torch.relu(hidden @ self.second + self.second_bias)
        return factorised + (hidden @ self.out)[..., 0]
