"""`logistic`: predicts whether a candidate is the next item by a weighted sum of its features; logistic loss."""

from torch import Tensor
from torch.nn import functional

from eddy_trainer.core.models.linear import Linear
from eddy_trainer.core.models.ranker import ChosenItems, mean_over_candidates


class Logistic(Linear):
    """A linear ranker with a pointwise loss."""

    @staticmethod
    def candidate_set_losses(scores: Tensor, chosen: ChosenItems) -> Tensor:
        return pointwise(scores, chosen)


def pointwise(scores: Tensor, chosen: ChosenItems) -> Tensor:
    """Return the binary cross-entropy of candidates, averaged over each candidate set [B]."""
    targets = chosen.is_target(scores.shape[1]).to(scores.dtype)
    return mean_over_candidates(functional.binary_cross_entropy_with_logits(scores, targets, reduction="none"), chosen)
