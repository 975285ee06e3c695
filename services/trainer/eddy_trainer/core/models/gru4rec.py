"""`gru4rec`: a gated recurrent unit over the interactions (Hidasi et al. 2016), with variational dropout (Gal and Ghahramani 2016).

One dropout mask a sequence, for what goes in and for what is carried on, instead of a new one at every step.
"""

import torch
from torch import Tensor, nn

from eddy.contract.model import DIM, MAX_SCENARIOS, Columns
from eddy_trainer.core.models.encoder import Dropout, Encoder, EncoderQuery, scaled_normal, scenario_gate


class Gru4Rec(Encoder):
    """One layer of DIM units; padding leaves the state at zero."""

    def __init__(self, columns: Columns) -> None:
        super().__init__(columns)
        self.input = nn.Parameter(scaled_normal(DIM, 3 * DIM))
        self.recurrent = nn.Parameter(scaled_normal(DIM, 3 * DIM))
        self.bias = nn.Parameter(torch.zeros(3 * DIM))
        # Not zero: a state without direction has a normalisation without a gradient.
        self.start = nn.Parameter(torch.randn(DIM) * 0.1)
        self.state_gate = nn.Parameter(torch.zeros(MAX_SCENARIOS, DIM))

    def states(self, x: Tensor, asked: EncoderQuery) -> Tensor:
        present, dropout = asked.seen.present, asked.dropout
        batch, length = present.shape
        kept_on = dropout.mask(batch, DIM) if dropout else None
        given = x @ self.input + self.bias
        state = self.start.expand(batch, DIM)
        states = []
        for place in range(length):
            carried = state if kept_on is None else state * kept_on
            state = torch.where(present[:, place, None], self._next(given[:, place], carried, state), state)
            states.append(state)
        return torch.stack(states[-asked.queries :], dim=1) * scenario_gate(asked.scenarios, self.state_gate)

    def _apply_dropout(self, x: Tensor, dropout: Dropout) -> Tensor:
        return x * dropout.mask(len(x), 1, DIM)

    def _next(self, given: Tensor, carried: Tensor, state: Tensor) -> Tensor:
        update, reset, fresh = torch.split(given, DIM, dim=-1)
        to_update, to_reset, to_fresh = torch.split(carried @ self.recurrent, DIM, dim=-1)
        update, reset = torch.sigmoid(update + to_update), torch.sigmoid(reset + to_reset)
        return torch.lerp(torch.tanh(fresh + reset * to_fresh), state, update)
