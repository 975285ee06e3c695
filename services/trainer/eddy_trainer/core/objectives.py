"""Self-supervised objectives of an encoder, learned beside the next item.

`masked`: some interactions are hidden and have to be told from all others, before and after them (Bert4Rec: Sun et al. 2019; as an
auxiliary task S3-Rec: Zhou et al. 2020). `contrastive`: a history under two draws of dropout must be nearer to itself than to those of
other users (DuoRec: Qiu et al. 2022).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from eddy_trainer.core.models.encoder import TEMPERATURE, Dropout, Encoder, Interactions

MASKED_SHARE = 0.2
CONTRAST_TEMPERATURE = 0.1
RESCORED_PREDICTIONS = 256
RESCORED_CANDIDATES = 64


@dataclass(frozen=True, slots=True)
class AuxiliaryInputs:
    """A batch as an objective needs it: who saw what, and what all of it is to be told from."""

    seen: Interactions
    scenarios: Tensor  # [B, L] of the next item
    columns: Tensor  # [B, L] of the inputs among the candidates; M for one that is none, meaningless where padded
    candidates: Tensor  # [M, DIM]
    log_q: Tensor  # [M]


class Auxiliary:
    """What an encoder learns beside the next item: a self-supervised objective, and to score its best candidates again."""

    def __init__(self, objective: str, weight: float, generator: np.random.Generator) -> None:
        self._objective = objective
        self._weight = weight
        self._generator = generator

    def __call__(
        self, encoder: Encoder, view: AuxiliaryInputs, users: Tensor, asked: Tensor, targets: Tensor, dropout: Dropout
    ) -> Tensor:
        """The weighted sum. `users` [B, L, DIM] are all user vectors, `asked` [P, DIM] those whose next item is at `targets` [P]."""
        loss = torch.zeros(())
        if self._objective == "masked":
            loss = loss + self._weight * masked_loss(encoder, view, dropout, self._generator)
        if self._objective == "contrastive":
            loss = loss + self._weight * contrastive_loss(encoder, view, users, dropout)
        if type(encoder).rescore is not Encoder.rescore:
            places = torch.from_numpy(self._generator.integers(0, len(targets), RESCORED_PREDICTIONS))
            drawn = torch.from_numpy(self._generator.integers(0, len(view.candidates), RESCORED_CANDIDATES))
            loss = loss + rescoring_loss(encoder, asked[places], targets[places], view.candidates, drawn)
        return loss


def masked_loss(encoder: Encoder, view: AuxiliaryInputs, dropout: Dropout, generator: np.random.Generator) -> Tensor:
    """Mean cross-entropy of the hidden items among the candidates."""
    seen = view.seen
    hidden = torch.from_numpy(generator.random(seen.present.shape) < MASKED_SHARE) & seen.present
    hidden &= view.columns < len(view.candidates)
    if not bool(hidden.any()):
        return torch.zeros(())
    users = encoder(seen._replace(vectors=seen.vectors * ~hidden[..., None]), view.scenarios, dropout, causal=False)
    return functional.cross_entropy(users[hidden] @ view.candidates.T - view.log_q, view.columns[hidden])


def contrastive_loss(encoder: Encoder, view: AuxiliaryInputs, users: Tensor, dropout: Dropout) -> Tensor:
    """InfoNCE between `users` [B, L, DIM] and a second draw of them, at the last place."""
    other = encoder(view.seen, view.scenarios, dropout)[:, -1]
    likeness = users[:, -1] @ other.T * (TEMPERATURE**2 / CONTRAST_TEMPERATURE)
    return functional.cross_entropy(likeness, torch.arange(len(users)))


def rescoring_loss(encoder: Encoder, users: Tensor, targets: Tensor, candidates: Tensor, drawn: Tensor) -> Tensor:
    """Mean cross-entropy of the targets [P] among them and `drawn` [K] candidates, by an encoder that scores its best ones again."""
    columns = torch.cat([targets[:, None], drawn.expand(len(targets), -1)], dim=1)
    scores = encoder.rescore(users, candidates[columns])
    assert scores is not None
    twice = torch.cat([torch.zeros_like(targets[:, None], dtype=torch.bool), drawn == targets[:, None]], dim=1)
    return functional.cross_entropy(scores.masked_fill(twice, -1e9), torch.zeros_like(targets))
