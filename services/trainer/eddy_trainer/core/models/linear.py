"""`linear`: the value of the action that a candidate will get, from a weighted sum of its features; squared loss."""

import torch
from torch import Tensor, nn

from eddy.contract.model import ACTIONS, FEATURES
from eddy_trainer.core.models.ranker import Chosen, Ranker, mean_over_candidates


class Linear(Ranker):
    """A candidate that gets no action has the value 0."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(len(FEATURES), 1))
        self.bias = nn.Parameter(torch.zeros(1))
        self.heads = nn.Parameter(torch.zeros(len(FEATURES), len(ACTIONS)))

    def weigh(self, x: Tensor, scenarios: Tensor) -> tuple[Tensor, Tensor]:
        return (x @ self.weights)[..., 0] + self.bias, x @ self.heads

    @staticmethod
    def list_losses(scores: Tensor, chosen: Chosen) -> Tensor:
        wanted = chosen.wanted(scores.shape[1]) * chosen.values[:, None]
        return mean_over_candidates((scores - wanted).square(), chosen)
