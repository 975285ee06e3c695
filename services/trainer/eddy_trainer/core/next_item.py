"""The encoder's loss: a softmax over candidate items at every position of every sequence, among the items of the same scenario.

In service, items compete only within their scenario. With one softmax over all scenarios, most sampled negatives would belong to other
scenarios and be easy to separate (measured: docs/experiments.md).

Above a catalogue size the candidates are a sample. Each logit is then corrected by the log of its item's probability of being in the sample
(log-Q correction: Bengio and Senecal 2008; Yi et al. 2019), so that the sampled partition function estimates the full one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from eddy_trainer.core.embedding_table import EmbeddingTable
from eddy_trainer.core.models.attention import MASKED_LOGIT
from eddy_trainer.core.models.encoder import Dropout, Encoder, Interactions
from eddy_trainer.core.objectives import Auxiliary, AuxiliaryInputs
from eddy_trainer.core.sequences import Sequences

CHUNK = 128
MIN_GROUP = 8


@dataclass(frozen=True, slots=True)
class SampledCandidates:
    """The items of a softmax: `rows` ascending and unique, each with the log probability of being sampled."""

    rows: Tensor  # [M] i64
    log_q: Tensor  # [M] f32


def targets_in(windows: Sequences, scenario: int) -> NDArray[np.int64]:
    """Return the targets of one scenario, in order, with repetitions."""
    targets: NDArray[np.int64] = windows.targets[(windows.targets > 0) & (windows.scenarios == scenario)]
    return targets


def full_softmax(pool: NDArray[np.int64], targets: NDArray[np.int64]) -> SampledCandidates:
    """Return all rows `pool` of a scenario, and all `targets` even if they left it."""
    rows = np.union1d(pool, targets)
    return SampledCandidates(torch.from_numpy(rows), torch.zeros(len(rows)))


def sample_items(
    pool: NDArray[np.int64],
    mentioned: NDArray[np.int64],
    targets: NDArray[np.int64],
    counts: NDArray[np.float64],
    negatives: int,
    generator: np.random.Generator,
) -> SampledCandidates:
    """Return the `targets` of a scenario, the rows `mentioned` in the batch, and `negatives` uniformly sampled rows of its `pool`.

    `counts` [table_size] are the interactions with each item in the scenario.
    """
    sampled = pool[generator.integers(0, len(pool), negatives)] if len(pool) else pool
    rows = np.union1d(np.union1d(mentioned, targets), sampled)
    share = counts[rows] / max(counts.sum(), 1.0)
    missed = np.exp(-len(targets) * share - negatives / max(len(pool), 1))
    return SampledCandidates(torch.from_numpy(rows), torch.from_numpy(np.log1p(-missed).astype(np.float32)))


def union_candidates(candidates: Mapping[int, SampledCandidates]) -> SampledCandidates:
    """Return the union of several candidate samples: an item is in it if it is in any of them."""
    if len(candidates) == 1:
        (only,) = candidates.values()
        return only
    rows = torch.unique(torch.cat([each.rows for each in candidates.values()]))
    missed = torch.zeros(len(rows))
    for each in candidates.values():
        missed[torch.searchsorted(rows, each.rows)] += torch.log1p(-each.log_q.double().exp()).float()
    return SampledCandidates(rows, torch.log1p(-missed.exp()))


@dataclass(slots=True)
class NextItemLoss:
    """Mean loss over `predictions` and the auxiliary loss, with the leaf embeddings that receive the gradient."""

    loss: Tensor
    auxiliary_loss: Tensor
    predictions: int
    rows: Tensor
    embedding: Tensor


def next_item_loss(
    encoder: Encoder,
    table: EmbeddingTable,
    windows: Sequences,
    candidates: Mapping[int, SampledCandidates],
    unseen_only: Tensor,
    dropout: Dropout | None,
    auxiliary: Auxiliary | None = None,
    by_length: bool = False,
) -> NextItemLoss:
    """Return the softmax loss of the next items among the `candidates` of their scenarios, and the auxiliary loss.

    `unseen_only` [MAX_SCENARIOS] marks scenarios that never recommend an item twice: there, seen items are excluded from the softmax and
    repetitions from the targets. `by_length` encodes windows of similar length together.
    """
    inputs = torch.from_numpy(windows.rows)
    mentioned = [windows.rows.ravel(), *(each.rows.numpy() for each in candidates.values())]
    rows = torch.from_numpy(np.unique(np.concatenate(mentioned)))
    embedding = table.embedding(rows)
    vectors = table.vectors(rows, embedding)
    column_of = torch.zeros(len(table), dtype=torch.int64)
    column_of[rows] = torch.arange(len(rows))
    histories = encoder_inputs(windows, functional.embedding(column_of[inputs], vectors))
    scenarios = torch.from_numpy(windows.scenarios)
    users = (
        encode_by_length(encoder, histories, scenarios, dropout)
        if by_length
        else encoder(histories, scenarios, dropout)
    )

    parts = []
    for scenario, each in candidates.items():
        predictions = predictions_of(len(table), windows, scenario, each, bool(unseen_only[scenario]))
        if not len(predictions.target):
            continue
        states = users.flatten(0, 1).index_select(0, predictions.position)
        losses = softmax_losses(
            states, vectors[column_of[each.rows]], each.log_q, predictions.excluded, predictions.target
        )
        # The correction of the target is a constant. Adding it back makes a sampled loss comparable with a full one.
        parts.append((losses - each.log_q[predictions.target], states, each.rows[predictions.target]))
    losses, states, targets = (torch.cat(part) for part in zip(*parts, strict=True)) if parts else [torch.zeros(0)] * 3
    auxiliary_loss = torch.zeros(())
    if auxiliary is not None and dropout is not None and len(targets):
        union = union_candidates(candidates)
        columns = _columns(len(table), union)
        inputs_of_batch = AuxiliaryInputs(
            histories, scenarios, columns[inputs], vectors[column_of[union.rows]], union.log_q
        )
        auxiliary_loss = auxiliary(encoder, inputs_of_batch, users, states, columns[targets], dropout)
    return NextItemLoss(losses.mean(), auxiliary_loss, len(targets), rows, embedding)


def encode_by_length(encoder: Encoder, histories: Interactions, scenarios: Tensor, dropout: Dropout | None) -> Tensor:
    """Return user vectors [B, L, DIM] like `encoder(histories, scenarios, dropout)`; zero where no item is predicted.

    Histories of up to L, L/2, L/4 ... are encoded together, since a batch of short ones would be mostly padding.
    """
    longest = histories.present.shape[1]
    # The position before a user's first interaction is predicted too.
    lengths = (histories.present.sum(dim=1) + 1).clamp(max=longest)
    users = histories.vectors.new_zeros(histories.vectors.shape)
    remaining = torch.arange(len(lengths))
    while len(remaining):
        length = int(lengths[remaining].max())
        long = lengths[remaining] > length // 2
        if int((~long).sum()) < MIN_GROUP:
            long[:] = True
        rows, remaining = remaining[long], remaining[~long]
        part = Interactions(*(column[rows, -length:] for column in histories))
        encoded = encoder(part, scenarios[rows, -length:], dropout)
        users = users.index_copy(0, rows, functional.pad(encoded, (0, 0, longest - length, 0)))
    return users


class Predictions(NamedTuple):
    """The predictions of one scenario: `position` [P] in the flattened windows, `target` [P] among its candidates."""

    position: Tensor
    target: Tensor
    excluded: "ExcludedItems | None"


def predictions_of(
    table_size: int, windows: Sequences, scenario: int, candidates: SampledCandidates, unseen_only: bool
) -> Predictions:
    """Return the predictions of all targets in a scenario, without repetitions if it is `unseen_only`."""
    columns = _columns(table_size, candidates)
    in_scenario = torch.from_numpy((windows.targets > 0) & (windows.scenarios == scenario))
    user, position = torch.nonzero(in_scenario, as_tuple=True)
    target = columns[torch.from_numpy(windows.targets)[user, position]]
    excluded = None
    if unseen_only:
        seen = columns[torch.from_numpy(np.concatenate([windows.earlier, windows.rows], axis=1))]
        at = torch.arange(seen.shape[1]) - windows.earlier.shape[1]
        new = ~((seen[user] == target[:, None]) & (at <= position[:, None])).any(1)
        user, position, target = user[new], position[new], target[new]
        excluded = ExcludedItems(seen, at, user, position)
    return Predictions(user * windows.rows.shape[1] + position, target, excluded)


def _columns(table_size: int, candidates: SampledCandidates) -> Tensor:
    """Return the column of each item among the candidates [table_size]; their number for items that are none."""
    columns = torch.full((table_size,), len(candidates.rows))
    columns[candidates.rows] = torch.arange(len(candidates.rows))
    return columns


class ExcludedItems(NamedTuple):
    """Items excluded from prediction p: `columns[user[p], s]` where `at[s] <= until[p]`. A column of M is no candidate."""

    columns: Tensor  # [U, S]
    at: Tensor  # [S]
    user: Tensor  # [P]
    until: Tensor  # [P]

    def mask(self, logits: Tensor, part: slice) -> None:
        """Mask the excluded items in the logits [C, M] of a slice of the predictions."""
        columns = self.columns.index_select(0, self.user[part])
        masked = (columns < logits.shape[1]) & (self.at <= self.until[part, None])
        row_starts = torch.arange(len(logits))[:, None] * logits.shape[1]
        logits.view(-1).index_fill_(0, (row_starts + columns)[masked], MASKED_LOGIT)


class _SoftmaxLoss(torch.autograd.Function):
    """Cross-entropy of users [P, DIM] over items [M, DIM]: losses [P].

    Computes losses and gradients by chunks of predictions, so that the [P, M] logits, most of the work of a step, stay in the cache. All
    losses must receive the same gradient, as in their mean.
    """

    @staticmethod
    def forward(
        ctx: Any, users: Tensor, items: Tensor, log_q: Tensor, excluded: ExcludedItems | None, targets: Tensor
    ) -> Tensor:
        losses, user_gradient = users.new_empty(len(users)), torch.empty_like(users)
        transposed, item_gradient = items.T.contiguous(), torch.zeros_like(items)
        for start in range(0, len(users), CHUNK):
            part = slice(start, start + CHUNK)
            logits = torch.addmm(log_q, users[part], transposed, beta=-1)
            if excluded is not None:
                excluded.mask(logits, part)
            target = targets[part, None]
            residual = logits.softmax(1)
            # One exp per logit: the highest probability is at least 1 / M, and its log gives the log of the normalising sum.
            log_sum = logits.amax(1, keepdim=True) - residual.amax(1, keepdim=True).log()
            losses[part] = (log_sum - logits.gather(1, target))[:, 0]
            residual.scatter_add_(1, target, residual.new_full(target.shape, -1.0))
            torch.mm(residual, transposed.T, out=user_gradient[part])
            item_gradient.addmm_(residual.T, users[part])
        ctx.save_for_backward(user_gradient, item_gradient)
        return losses

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        user_gradient, item_gradient = ctx.saved_tensors
        scale = gradients[0][0]
        return user_gradient * scale, item_gradient * scale, None, None, None


def softmax_losses(
    users: Tensor, items: Tensor, log_q: Tensor, excluded: ExcludedItems | None, targets: Tensor
) -> Tensor:
    """Return cross-entropies [P] of the logits users . items - log_q. Only their mean may be differentiated."""
    losses: Tensor = _SoftmaxLoss.apply(users, items, log_q, excluded, targets)
    return losses


def encoder_inputs(windows: Sequences, vectors: Tensor) -> Interactions:
    """Return windows as encoder inputs, given the vectors of their rows."""
    present = torch.from_numpy(windows.rows > 0)
    actions, values, gaps = (torch.from_numpy(x) for x in (windows.actions, windows.values, windows.gaps))
    return Interactions(vectors, present, actions, values, gaps)
