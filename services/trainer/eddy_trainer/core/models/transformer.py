"""`transformer`: a causal transformer like SASRec (Kang and McAuley 2018), with time biases as in HSTU.

Two pre-norm blocks, two heads; relative positions instead of absolute ones.
"""

from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from eddy.contract.model import DIM, MAX_SCENARIOS, Columns
from eddy_trainer.core.models.attention import HEADS, MASKED_LOGIT, AttentionEncoder, Block, heads_of
from eddy_trainer.core.models.encoder import Dropout, scaled_normal, scenario_gate

HIDDEN = 2 * DIM


class TransformerBlock(Block):
    """Pre-norm softmax attention, then a pre-norm feed-forward layer with units gated by the scenario."""

    def __init__(self, gated: bool) -> None:
        super().__init__(gated)
        self.attention_norm = nn.LayerNorm(DIM)
        self.query = nn.Parameter(scaled_normal(DIM, DIM))
        self.key = nn.Parameter(scaled_normal(DIM, DIM))
        self.value = nn.Parameter(scaled_normal(DIM, DIM))
        self.out = nn.Parameter(scaled_normal(DIM, DIM))
        self.feed_norm = nn.LayerNorm(DIM)
        self.feed_in = nn.Parameter(scaled_normal(DIM, HIDDEN))
        self.feed_in_bias = nn.Parameter(torch.zeros(HIDDEN))
        self.feed_out = nn.Parameter(scaled_normal(HIDDEN, DIM))
        self.feed_out_bias = nn.Parameter(torch.zeros(DIM))
        if gated:
            self.gate = nn.Parameter(torch.zeros(MAX_SCENARIOS, HIDDEN))

    def forward(
        self, x: Tensor, bias: Tensor, allowed: Tensor, scenarios: Tensor, queries: int, dropout: Dropout | None
    ) -> Tensor:
        attended = self._attend(self.attention_norm(x), bias.masked_fill(~allowed[:, None], MASKED_LOGIT), queries)
        x = x[:, -queries:] + (dropout(attended) if dropout else attended)
        hidden = functional.silu(self.feed_norm(x) @ self.feed_in + self.feed_in_bias)
        if self.gated:
            hidden = hidden * scenario_gate(scenarios, self.gate)
        fed = hidden @ self.feed_out + self.feed_out_bias
        return x + (dropout(fed) if dropout else fed)

    def _attend(self, x: Tensor, bias: Tensor, queries: int) -> Tensor:
        query = heads_of(x[:, -queries:] @ self.query)
        weights = torch.softmax(query @ heads_of(x @ self.key).transpose(2, 3) / sqrt(DIM // HEADS) + bias, dim=-1)
        mixed = (weights @ heads_of(x @ self.value)).transpose(1, 2)
        return mixed.flatten(2) @ self.out


class Transformer(AttentionEncoder):
    """The default encoder."""

    def __init__(self, columns: Columns) -> None:
        super().__init__(columns, TransformerBlock)
