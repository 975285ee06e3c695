"""`logistic`: whether a candidate is what comes next, from a weighted sum of its features; logistic loss."""

from torch import Tensor
from torch.nn import functional

from eddy_trainer.core.models.linear import Linear
from eddy_trainer.core.models.ranker import ChosenItems, mean_over_candidates


class Logistic(Linear):
    """Learns each candidate for itself."""

    @staticmethod
    def candidate_set_losses(scores: Tensor, chosen: ChosenItems) -> Tensor:
        return pointwise(scores, chosen)


def pointwise(scores: Tensor, chosen: ChosenItems) -> Tensor:
    """Binary cross-entropy of each candidate, mean over each list [B]."""
    wanted = chosen.wanted(scores.shape[1]).to(scores.dtype)
    return mean_over_candidates(functional.binary_cross_entropy_with_logits(scores, wanted, reduction="none"), chosen)
