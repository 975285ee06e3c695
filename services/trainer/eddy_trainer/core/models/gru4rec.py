"""`gru4rec`: a gated recurrent unit over the interactions (Hidasi et al. 2016), with variational dropout (Gal and Ghahramani 2016).

One dropout mask per sequence for the inputs and one for the carried state, instead of new ones at every step.
"""

import torch
from torch import Tensor, nn

from eddy.contract.model import DIM, MAX_SCENARIOS, Columns
from eddy_trainer.core.models.encoder import Dropout, Encoder, EncoderQuery, scaled_normal, scenario_gate


class Gru4Rec(Encoder):
    """One layer of DIM units; padding leaves the state unchanged."""

    def __init__(self, columns: Columns) -> None:
        super().__init__(columns)
        self.input = nn.Parameter(scaled_normal(DIM, 3 * DIM))
        self.recurrent = nn.Parameter(scaled_normal(DIM, 3 * DIM))
        self.bias = nn.Parameter(torch.zeros(3 * DIM))
        # Not zero: the normalisation of a zero state has no gradient.
        self.start = nn.Parameter(torch.randn(DIM) * 0.1)
        self.state_gate = nn.Parameter(torch.zeros(MAX_SCENARIOS, DIM))

    def states(self, x: Tensor, query: EncoderQuery) -> Tensor:
        present, dropout = query.histories.present, query.dropout
        batch, length = present.shape
        carry_mask = dropout.mask(batch, DIM) if dropout else None
        inputs = x @ self.input + self.bias
        state = self.start.expand(batch, DIM)
        states = []
        for position in range(length):
            carried = state if carry_mask is None else state * carry_mask
            state = torch.where(present[:, position, None], self._next(inputs[:, position], carried, state), state)
            states.append(state)
        return torch.stack(states[-query.queries :], dim=1) * scenario_gate(query.scenarios, self.state_gate)

    def _apply_dropout(self, x: Tensor, dropout: Dropout) -> Tensor:
        return x * dropout.mask(len(x), 1, DIM)

    def _next(self, inputs: Tensor, carried: Tensor, state: Tensor) -> Tensor:
        update, reset, fresh = torch.split(inputs, DIM, dim=-1)
        to_update, to_reset, to_fresh = torch.split(carried @ self.recurrent, DIM, dim=-1)
        update, reset = torch.sigmoid(update + to_update), torch.sigmoid(reset + to_reset)
        return torch.lerp(torch.tanh(fresh + reset * to_fresh), state, update)
