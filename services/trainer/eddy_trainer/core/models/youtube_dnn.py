"""`youtube_dnn`: averaged embeddings through a tower of ReLU layers (Covington, Adams and Sargin 2016)."""

import torch
from torch import Tensor, nn

from eddy.contract.model import DIM, MAX_SCENARIOS, Columns
from eddy_trainer.core.models.encoder import EncoderQuery, scaled_normal, scenario_gate
from eddy_trainer.core.models.pooling import Pooled


class YoutubeDnn(Pooled):
    """The inputs are the average and the last interaction with its age, action and value."""

    def __init__(self, columns: Columns) -> None:
        super().__init__(columns)
        self.first = nn.Parameter(scaled_normal(2 * DIM, 2 * DIM))
        self.first_bias = nn.Parameter(torch.zeros(2 * DIM))
        self.second = nn.Parameter(scaled_normal(2 * DIM, DIM))
        self.second_bias = nn.Parameter(torch.zeros(DIM))
        self.tower_gate = nn.Parameter(torch.zeros(MAX_SCENARIOS, 2 * DIM))

    def states(self, x: Tensor, query: EncoderQuery) -> Tensor:
        pooled = super().states(x, query)
        hidden = torch.relu(torch.cat([pooled, x[:, -query.queries :]], dim=-1) @ self.first + self.first_bias)
        hidden = hidden * scenario_gate(query.scenarios, self.tower_gate)
        hidden = query.dropout(hidden) if query.dropout else hidden
        return pooled + hidden @ self.second + self.second_bias
