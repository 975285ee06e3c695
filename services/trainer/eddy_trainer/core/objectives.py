"""Self-supervised auxiliary objectives of the encoder.

`masked`: predict hidden interactions from those before and after them (Bert4Rec: Sun et al. 2019; as an auxiliary task S3-Rec: Zhou et al.
2020). `contrastive`: two encodings of a history under different dropout must be closer to each other than to those of other users (DuoRec:
Qiu et al. 2022).
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
    """A batch of histories and its candidates."""

    histories: Interactions
    scenarios: Tensor  # [B, L] of the next item
    columns: Tensor  # [B, L] of the inputs among the candidates; M for other items, undefined for padding
    candidates: Tensor  # [M, DIM]
    log_q: Tensor  # [M]


class Auxiliary:
    """Auxiliary losses of an encoder: a self-supervised objective, and the rescoring of top candidates."""

    def __init__(self, objective: str, weight: float, generator: np.random.Generator) -> None:
        self._objective = objective
        self._weight = weight
        self._generator = generator

    def __call__(
        self, encoder: Encoder, batch: AuxiliaryInputs, users: Tensor, states: Tensor, targets: Tensor, dropout: Dropout
    ) -> Tensor:
        """Return the weighted sum. `users` [B, L, DIM] are all user vectors, `states` [P, DIM] those with a next item, `targets` [P]."""
        loss = torch.zeros(())
        if self._objective == "masked":
            loss = loss + self._weight * masked_loss(encoder, batch, dropout, self._generator)
        if self._objective == "contrastive":
            loss = loss + self._weight * contrastive_loss(encoder, batch, users, dropout)
        if type(encoder).rescore is not Encoder.rescore:
            predictions = torch.from_numpy(self._generator.integers(0, len(targets), RESCORED_PREDICTIONS))
            sampled = torch.from_numpy(self._generator.integers(0, len(batch.candidates), RESCORED_CANDIDATES))
            loss = loss + rescoring_loss(encoder, states[predictions], targets[predictions], batch.candidates, sampled)
        return loss


def masked_loss(encoder: Encoder, batch: AuxiliaryInputs, dropout: Dropout, generator: np.random.Generator) -> Tensor:
    """Return the mean cross-entropy of the hidden items among the candidates."""
    histories = batch.histories
    hidden = torch.from_numpy(generator.random(histories.present.shape) < MASKED_SHARE) & histories.present
    hidden &= batch.columns < len(batch.candidates)
    if not bool(hidden.any()):
        return torch.zeros(())
    users = encoder(
        histories._replace(vectors=histories.vectors * ~hidden[..., None]), batch.scenarios, dropout, causal=False
    )
    return functional.cross_entropy(users[hidden] @ batch.candidates.T - batch.log_q, batch.columns[hidden])


def contrastive_loss(encoder: Encoder, batch: AuxiliaryInputs, users: Tensor, dropout: Dropout) -> Tensor:
    """Return InfoNCE between `users` [B, L, DIM] and a second encoding of them, at the last position."""
    other = encoder(batch.histories, batch.scenarios, dropout)[:, -1]
    similarity = users[:, -1] @ other.T * (TEMPERATURE**2 / CONTRAST_TEMPERATURE)
    return functional.cross_entropy(similarity, torch.arange(len(users)))


def rescoring_loss(encoder: Encoder, users: Tensor, targets: Tensor, candidates: Tensor, sampled: Tensor) -> Tensor:
    """Return the mean cross-entropy of the targets [P] among themselves and `sampled` [K] candidates, by `Encoder.rescore`."""
    columns = torch.cat([targets[:, None], sampled.expand(len(targets), -1)], dim=1)
    scores = encoder.rescore(users, candidates[columns])
    assert scores is not None
    duplicates = torch.cat([torch.zeros_like(targets[:, None], dtype=torch.bool), sampled == targets[:, None]], dim=1)
    return functional.cross_entropy(scores.masked_fill(duplicates, -1e9), torch.zeros_like(targets))
