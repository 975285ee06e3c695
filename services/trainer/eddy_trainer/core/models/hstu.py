"""`hstu`: Hierarchical Sequential Transduction Units (Zhai et al. 2024).

Pointwise aggregated attention: SiLU instead of a softmax, which keeps the length of the history; the result is gated elementwise, and there
is no feed-forward layer.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from eddy.contract.model import DIM, HISTORY, MAX_SCENARIOS, Columns
from eddy_trainer.core.models.attention import AttentionEncoder, Block, heads_of
from eddy_trainer.core.models.encoder import Dropout, scaled_normal, scenario_gate


class HstuBlock(Block):
    """Pointwise projection, spatial aggregation, pointwise transformation."""

    def __init__(self, gated: bool) -> None:
        super().__init__(gated)
        self.input_norm = nn.LayerNorm(DIM)
        self.project = nn.Parameter(scaled_normal(DIM, 4 * DIM))
        self.project_bias = nn.Parameter(torch.zeros(4 * DIM))
        self.mixed_norm = nn.LayerNorm(DIM)
        self.out = nn.Parameter(scaled_normal(DIM, DIM))
        self.out_bias = nn.Parameter(torch.zeros(DIM))
        if gated:
            self.gate = nn.Parameter(torch.zeros(MAX_SCENARIOS, DIM))

    def forward(
        self, x: Tensor, bias: Tensor, allowed: Tensor, scenarios: Tensor, queries: int, dropout: Dropout | None
    ) -> Tensor:
        projected = functional.silu(self.input_norm(x) @ self.project + self.project_bias)
        unit, value, query, key = torch.split(projected, DIM, dim=-1)
        scores = heads_of(query[:, -queries:]) @ heads_of(key).transpose(2, 3) + bias
        weights = functional.silu(scores) * allowed[:, None] / HISTORY
        mixed = self.mixed_norm((weights @ heads_of(value)).transpose(1, 2).flatten(2)) * unit[:, -queries:]
        if self.gated:
            mixed = mixed * scenario_gate(scenarios, self.gate)
        mixed = dropout(mixed) if dropout else mixed
        return x[:, -queries:] + mixed @ self.out + self.out_bias


class Hstu(AttentionEncoder):
    """Two HSTU blocks."""

    def __init__(self, columns: Columns) -> None:
        super().__init__(columns, HstuBlock)
