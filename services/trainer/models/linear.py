"""Rankers without a hidden layer: `linear` predicts a rating, `logistic` a click."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from services.trainer.models.ranker import Chosen, Ranker, mean_over_candidates
from shared.model_contract import ACTIONS, FEATURES


class Linear(Ranker):
    """`linear`: the value of the action that a candidate will get, 0 where it gets none; squared loss."""

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


class Logistic(Linear):
    """`logistic`: whether a candidate is what comes next; logistic loss."""

    @staticmethod
    def list_losses(scores: Tensor, chosen: Chosen) -> Tensor:
        return pointwise(scores, chosen)


def pointwise(scores: Tensor, chosen: Chosen) -> Tensor:
    """Binary cross-entropy of each candidate, mean over each list [B]."""
    wanted = chosen.wanted(scores.shape[1]).to(scores.dtype)
    return mean_over_candidates(functional.binary_cross_entropy_with_logits(scores, wanted, reduction="none"), chosen)
