"""`linear`: predicts the value of a candidate's action by a weighted sum of its features; squared loss."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from eddy.contract.model import Columns
from eddy_trainer.core.models.axes import FEATURE, HEAD, Axes
from eddy_trainer.core.models.ranker import ChosenItems, Ranker, mean_over_candidates


class Linear(Ranker):
    """Candidates without an action have the value 0."""

    axes: ClassVar[Axes] = {**Ranker.axes, "weights": (FEATURE, None), "heads": (FEATURE, HEAD)}

    def __init__(self, columns: Columns) -> None:
        super().__init__(columns)
        self.weights = nn.Parameter(torch.zeros(len(columns.features), 1))
        self.bias = nn.Parameter(torch.zeros(1))
        self.heads = nn.Parameter(torch.zeros(len(columns.features), len(columns.actions)))

    def score_standardised(self, x: Tensor, scenarios: Tensor) -> tuple[Tensor, Tensor]:
        return (x @ self.weights)[..., 0] + self.bias, x @ self.heads

    @staticmethod
    def candidate_set_losses(scores: Tensor, chosen: ChosenItems) -> Tensor:
        values = chosen.is_target(scores.shape[1]) * chosen.values[:, None]
        return mean_over_candidates((scores - values).square(), chosen)
