"""The encoder's loss: softmax over candidate items at every place of every sequence at once, in each scenario over the items of that one.

What serves a scenario never has to tell its items from those of another; where all of them were in one softmax, most of what a sample
draws would be of other scenarios, and easily told (measured: docs/experiments.md).

Above a catalogue size the candidates are a sample, and each logit is corrected by the log of its item's probability of being in the
sample (log-Q correction: Bengio and Senecal 2008; Yi et al. 2019), so that the sampled partition function stands for the whole one.
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
    """Items a softmax runs over: `rows` ascending and unique, with the log probability of each to be among them."""

    rows: Tensor  # [M] i64
    log_q: Tensor  # [M] f32


def targets_in(windows: Sequences, scenario: int) -> NDArray[np.int64]:
    """The targets of one scenario, in order, with repetitions."""
    targets: NDArray[np.int64] = windows.targets[(windows.targets > 0) & (windows.scenarios == scenario)]
    return targets


def full_softmax(pool: NDArray[np.int64], targets: NDArray[np.int64]) -> SampledCandidates:
    """The full softmax over the rows `pool` of a scenario, and over `targets` wherever they are."""
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
    """The `targets` of a scenario, what else of its rows `pool` is `mentioned` by the batch, and `negatives` of them drawn uniformly.

    `counts` [table_size] says how often each item was acted on in the scenario.
    """
    drawn = pool[generator.integers(0, len(pool), negatives)] if len(pool) else pool
    rows = np.union1d(np.union1d(mentioned, targets), drawn)
    share = counts[rows] / max(counts.sum(), 1.0)
    missed = np.exp(-len(targets) * share - negatives / max(len(pool), 1))
    return SampledCandidates(torch.from_numpy(rows), torch.from_numpy(np.log1p(-missed).astype(np.float32)))


def union_candidates(candidates: Mapping[int, SampledCandidates]) -> SampledCandidates:
    """All items of several softmaxes as one: an item is in it where it is in any."""
    if len(candidates) == 1:
        (alone,) = candidates.values()
        return alone
    rows = torch.unique(torch.cat([each.rows for each in candidates.values()]))
    missed = torch.zeros(len(rows))
    for each in candidates.values():
        missed[torch.searchsorted(rows, each.rows)] += torch.log1p(-each.log_q.double().exp()).float()
    return SampledCandidates(rows, torch.log1p(-missed.exp()))


@dataclass(slots=True)
class NextItemLoss:
    """Mean loss over `places` predictions and what is learned `beside` it, with the leaf embeddings to differentiate by."""

    loss: Tensor
    auxiliary_loss: Tensor
    places: int
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
    """Softmax loss of what came next among the `candidates` of its scenario, and what is learned beside it.

    `unseen_only` [MAX_SCENARIOS] says where an item is never recommended twice: there, seen items are left out of the softmax, and a
    repetition is nothing to learn from. With `by_length` windows go through the encoder with those of like length.
    """
    inputs = torch.from_numpy(windows.rows)
    mentioned = [windows.rows.ravel(), *(each.rows.numpy() for each in candidates.values())]
    rows = torch.from_numpy(np.unique(np.concatenate(mentioned)))
    embedding = table.embedding(rows)
    vectors = table.vectors(rows, embedding)
    place_of = torch.zeros(len(table), dtype=torch.int64)
    place_of[rows] = torch.arange(len(rows))
    seen = encoder_inputs(windows, functional.embedding(place_of[inputs], vectors))
    scenarios = torch.from_numpy(windows.scenarios)
    users = encode_by_length(encoder, seen, scenarios, dropout) if by_length else encoder(seen, scenarios, dropout)

    parts = []
    for scenario, each in candidates.items():
        asked = _asked(len(table), windows, scenario, each, bool(unseen_only[scenario]))
        if not len(asked.target):
            continue
        states = users.flatten(0, 1).index_select(0, asked.place)
        losses = softmax_losses(states, vectors[place_of[each.rows]], each.log_q, asked.left_out, asked.target)
        # The target's own correction is a constant: added back, a sampled loss is comparable with a full one.
        parts.append((losses - each.log_q[asked.target], states, each.rows[asked.target]))
    losses, states, targets = (torch.cat(part) for part in zip(*parts, strict=True)) if parts else [torch.zeros(0)] * 3
    auxiliary_loss = torch.zeros(())
    if auxiliary is not None and dropout is not None and len(targets):
        everything = union_candidates(candidates)
        columns = _columns(len(table), everything)
        view = AuxiliaryInputs(seen, scenarios, columns[inputs], vectors[place_of[everything.rows]], everything.log_q)
        auxiliary_loss = auxiliary(encoder, view, users, states, columns[targets], dropout)
    return NextItemLoss(losses.mean(), auxiliary_loss, len(targets), rows, embedding)


def encode_by_length(encoder: Encoder, seen: Interactions, scenarios: Tensor, dropout: Dropout | None) -> Tensor:
    """User vectors [B, L, DIM] as of `encoder(seen, scenarios, noise)` at every place from the one before the first interaction on,
    zero before. Histories of up to L, L/2, L/4 ... go through it together: most of a batch of short ones is padding otherwise."""
    longest = seen.present.shape[1]
    # A user is also asked at the place before their first interaction.
    lengths = (seen.present.sum(dim=1) + 1).clamp(max=longest)
    users = seen.vectors.new_zeros(seen.vectors.shape)
    left = torch.arange(len(lengths))
    while len(left):
        length = int(lengths[left].max())
        long = lengths[left] > length // 2
        if int((~long).sum()) < MIN_GROUP:
            long[:] = True
        lines, left = left[long], left[~long]
        part = Interactions(*(column[lines, -length:] for column in seen))
        found = encoder(part, scenarios[lines, -length:], dropout)
        users = users.index_copy(0, lines, functional.pad(found, (0, 0, longest - length, 0)))
    return users


class _Predictions(NamedTuple):
    """The predictions of one scenario: `place` [P] in the flattened windows, `target` [P] among its candidates."""

    place: Tensor
    target: Tensor
    left_out: "ExcludedItems | None"


def _asked(
    table_size: int, windows: Sequences, scenario: int, candidates: SampledCandidates, unseen_only: bool
) -> _Predictions:
    columns = _columns(table_size, candidates)
    wanted = torch.from_numpy((windows.targets > 0) & (windows.scenarios == scenario))
    user, place = torch.nonzero(wanted, as_tuple=True)
    target = columns[torch.from_numpy(windows.targets)[user, place]]
    left_out = None
    if unseen_only:
        seen = columns[torch.from_numpy(np.concatenate([windows.earlier, windows.rows], axis=1))]
        at = torch.arange(seen.shape[1]) - windows.earlier.shape[1]
        new = ~((seen[user] == target[:, None]) & (at <= place[:, None])).any(1)
        user, place, target = user[new], place[new], target[new]
        left_out = ExcludedItems(seen, at, user, place)
    return _Predictions(user * windows.rows.shape[1] + place, target, left_out)


def _columns(table_size: int, candidates: SampledCandidates) -> Tensor:
    """[table_size]: where an item is among the candidates; their number for one that is not."""
    columns = torch.full((table_size,), len(candidates.rows))
    columns[candidates.rows] = torch.arange(len(candidates.rows))
    return columns


class ExcludedItems(NamedTuple):
    """Prediction p has no candidate `columns[user[p], s]` for which `at[s] <= until[p]`; a column of M is none anyway."""

    columns: Tensor  # [U, S]
    at: Tensor  # [S]
    user: Tensor  # [P]
    until: Tensor  # [P]

    def mask(self, logits: Tensor, part: slice) -> None:
        """Mask them in the logits [C, M] of a part of the predictions."""
        columns = self.columns.index_select(0, self.user[part])
        gone = (columns < logits.shape[1]) & (self.at <= self.until[part, None])
        firsts = torch.arange(len(logits))[:, None] * logits.shape[1]
        logits.view(-1).index_fill_(0, (firsts + columns)[gone], MASKED_LOGIT)


class _SoftmaxLoss(torch.autograd.Function):
    """Cross entropy of users [P, DIM] against items [M, DIM]: losses [P]. A chunk of predictions at a time, gradient at once, so that
    the [P, M] logits, most of the work of a step, never leave the cache. All losses must get the same gradient, as in their mean."""

    @staticmethod
    def forward(
        ctx: Any, users: Tensor, items: Tensor, log_q: Tensor, left_out: ExcludedItems | None, targets: Tensor
    ) -> Tensor:
        losses, user_gradient = users.new_empty(len(users)), torch.empty_like(users)
        across, item_gradient = items.T.contiguous(), torch.zeros_like(items)
        for start in range(0, len(users), CHUNK):
            part = slice(start, start + CHUNK)
            logits = torch.addmm(log_q, users[part], across, beta=-1)
            if left_out is not None:
                left_out.mask(logits, part)
            wanted = targets[part, None]
            surplus = logits.softmax(1)
            # One exp a logit: the highest has a chance of at least 1 / M, whose log tells the sum that all were divided by.
            total = logits.amax(1, keepdim=True) - surplus.amax(1, keepdim=True).log()
            losses[part] = (total - logits.gather(1, wanted))[:, 0]
            surplus.scatter_add_(1, wanted, surplus.new_full(wanted.shape, -1.0))
            torch.mm(surplus, across.T, out=user_gradient[part])
            item_gradient.addmm_(surplus.T, users[part])
        ctx.save_for_backward(user_gradient, item_gradient)
        return losses

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        user_gradient, item_gradient = ctx.saved_tensors
        scale = gradients[0][0]
        return user_gradient * scale, item_gradient * scale, None, None, None


def softmax_losses(
    users: Tensor, items: Tensor, log_q: Tensor, left_out: ExcludedItems | None, targets: Tensor
) -> Tensor:
    """Cross entropies [P] of logits users . items - log_q, of which only the mean may be differentiated."""
    losses: Tensor = _SoftmaxLoss.apply(users, items, log_q, left_out, targets)
    return losses


def encoder_inputs(windows: Sequences, vectors: Tensor) -> Interactions:
    """A batch of windows as the encoder reads it, given the vectors of its rows."""
    present = torch.from_numpy(windows.rows > 0)
    actions, values, gaps = (torch.from_numpy(x) for x in (windows.actions, windows.values, windows.gaps))
    return Interactions(vectors, present, actions, values, gaps)
