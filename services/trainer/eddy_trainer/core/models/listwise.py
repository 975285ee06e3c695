"""The list-wise ranker: a linear score of the features plus a small network.

Trained by a softmax over each candidate set (ListNet with one relevant item: Cao et al. 2007).
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from eddy.contract.model import MAX_SCENARIOS, Columns
from eddy_trainer.core.models.axes import FEATURE, HEAD, Axes
from eddy_trainer.core.models.encoder import by_scenario, scaled_normal, scenario_gate
from eddy_trainer.core.models.ranker import ChosenItems, Ranker, prior

HIDDEN = 64


class Listwise(Ranker):
    """Two hidden layers of HIDDEN units; the scenario gates inputs and hidden units, as in PEPNet (Chang et al. 2023)."""

    axes: ClassVar[Axes] = {
        **Ranker.axes,
        "additive": (FEATURE, None),
        "first": (FEATURE, None),
        "input_gate": (None, FEATURE),
        "heads": (None, HEAD),
    }

    def __init__(self, columns: Columns) -> None:
        super().__init__(columns)
        self.additive = nn.Parameter(prior(columns))
        self.first = nn.Parameter(scaled_normal(len(columns.features), HIDDEN))
        self.first_bias = nn.Parameter(torch.zeros(HIDDEN))
        self.second = nn.Parameter(scaled_normal(HIDDEN, HIDDEN))
        self.second_bias = nn.Parameter(torch.zeros(HIDDEN))
        self.input_gate = nn.Parameter(torch.zeros(MAX_SCENARIOS, len(columns.features)))
        self.gate = nn.Parameter(torch.zeros(MAX_SCENARIOS, HIDDEN))
        self.shift = nn.Parameter(torch.zeros(MAX_SCENARIOS, HIDDEN))
        self.score = nn.Parameter(torch.zeros(HIDDEN, 1))
        self.heads = nn.Parameter(torch.zeros(HIDDEN, len(columns.actions)))

    def score_standardised(self, x: Tensor, scenarios: Tensor) -> tuple[Tensor, Tensor]:
        x = x * scenario_gate(scenarios, self.input_gate)[:, None]
        hidden = functional.silu(x @ self.first + self.first_bias)
        hidden = torch.addcmul(
            by_scenario(scenarios, self.shift)[:, None], hidden, scenario_gate(scenarios, self.gate)[:, None]
        )
        hidden = functional.silu(hidden @ self.second + self.second_bias)
        return (x @ self.additive + hidden @ self.score)[..., 0], hidden @ self.heads

    @staticmethod
    def candidate_set_losses(scores: Tensor, chosen: ChosenItems) -> Tensor:
        absent = ~chosen.is_filled(scores.shape[1])
        return functional.cross_entropy(scores.masked_fill(absent, -1e9), chosen.targets, reduction="none")
