"""`mlp`: one hidden layer of 128 rectified units, binary cross-entropy per candidate."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from eddy.contract.model import Columns
from eddy_trainer.core.models.axes import FEATURE, HEAD, Axes
from eddy_trainer.core.models.encoder import scaled_normal
from eddy_trainer.core.models.logistic import pointwise
from eddy_trainer.core.models.ranker import ChosenItems, Ranker

HIDDEN = 128


class Mlp(Ranker):
    """Dense(128, ReLU) -> sigmoid."""

    axes: ClassVar[Axes] = {**Ranker.axes, "hidden": (FEATURE, None), "heads": (None, HEAD)}

    def __init__(self, columns: Columns) -> None:
        super().__init__(columns)
        self.hidden = nn.Parameter(scaled_normal(len(columns.features), HIDDEN))
        self.hidden_bias = nn.Parameter(torch.zeros(HIDDEN))
        self.score = nn.Parameter(scaled_normal(HIDDEN, 1))
        self.score_bias = nn.Parameter(torch.zeros(1))
        self.heads = nn.Parameter(torch.zeros(HIDDEN, len(columns.actions)))

    def score_standardised(self, x: Tensor, scenarios: Tensor) -> tuple[Tensor, Tensor]:
        hidden = torch.relu(x @ self.hidden + self.hidden_bias)
        return (hidden @ self.score)[..., 0] + self.score_bias, hidden @ self.heads

    @staticmethod
    def candidate_set_losses(scores: Tensor, chosen: ChosenItems) -> Tensor:
        return pointwise(scores, chosen)
