"""The encoder's loss: softmax over candidate items at every place of every sequence at once.

Above a catalogue size the candidates are a sample, and each logit is corrected by the log of its item's probability of being in the
sample (log-Q correction: Bengio and Senecal 2008; Yi et al. 2019), so that the sampled partition function stands for the whole one.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from services.trainer.item_table import ItemTable
from services.trainer.models.attention import MASKED
from services.trainer.models.encoder import Encoder, Interactions, Noise
from services.trainer.objectives import Auxiliary, View
from services.trainer.sequences import Sequences

CHUNK = 128
NEVER = -2


@dataclass(frozen=True, slots=True)
class Candidates:
    """Items a softmax runs over: `rows` ascending and unique, with the log probability of each to be among them."""

    rows: Tensor  # [M] i64
    log_q: Tensor  # [M] f32


def every_item(table_size: int) -> Candidates:
    """The full softmax."""
    return Candidates(torch.arange(1, table_size), torch.zeros(table_size - 1))


def sample_items(
    windows: Sequences, table_size: int, share: NDArray[np.float64], negatives: int, generator: np.random.Generator
) -> Candidates:
    """All items of the batch and `negatives` drawn uniformly; `share` [table_size] is each item's share of all interactions."""
    mentioned = np.unique(np.concatenate([windows.rows.ravel(), windows.targets.ravel()]))
    drawn = generator.integers(1, table_size, negatives)
    rows = np.union1d(mentioned[mentioned > 0], drawn)
    places = np.count_nonzero(windows.targets)
    missed = np.exp(-places * share[rows] - negatives / (table_size - 1))
    log_q = np.log1p(-missed)
    return Candidates(torch.from_numpy(rows), torch.from_numpy(log_q.astype(np.float32)))


@dataclass(slots=True)
class NextItemLoss:
    """Mean loss over `places` predictions and what is learned `beside` it, with the leaf embeddings to differentiate by."""

    loss: Tensor
    beside: Tensor
    places: int
    rows: Tensor
    embedding: Tensor


def next_item_loss(
    encoder: Encoder,
    table: ItemTable,
    windows: Sequences,
    candidates: Candidates,
    unseen_only: Tensor,
    noise: Noise | None,
    auxiliary: Auxiliary | None = None,
) -> NextItemLoss:
    """Softmax loss of what came next, and what is learned beside it.

    `unseen_only` [MAX_SCENARIOS] says where an item is never recommended twice: there, seen items are left out of the softmax, and a
    repetition is nothing to learn from.
    """
    inputs = torch.from_numpy(windows.rows)
    rows = torch.from_numpy(np.union1d(windows.rows.ravel(), candidates.rows.numpy()))
    embedding = table.embedding(rows)
    vectors = table.vectors(rows, embedding)
    place_of = torch.zeros(len(table), dtype=torch.int64)
    place_of[rows] = torch.arange(len(rows))
    seen = interactions(windows, functional.embedding(place_of[inputs], vectors))
    scenarios = torch.from_numpy(windows.scenarios)
    users = encoder(seen, scenarios, noise)

    columns = torch.full((len(table),), len(candidates.rows))
    columns[candidates.rows] = torch.arange(len(candidates.rows))
    first_seen = _first_seen(columns, windows, len(candidates.rows))
    user, place = torch.nonzero(torch.from_numpy(windows.targets), as_tuple=True)
    target = columns[torch.from_numpy(windows.targets)[user, place]]
    filtered = unseen_only[scenarios[user, place]]
    repeated = filtered & (first_seen[user, target] <= place)
    user, place, target, filtered = (x[~repeated] for x in (user, place, target, filtered))

    until = torch.where(filtered, place, NEVER).to(torch.int8)
    asked = users.flatten(0, 1).index_select(0, user * windows.rows.shape[1] + place)
    masks = Masks(first_seen, user, until)
    items = vectors[place_of[candidates.rows]]
    losses = softmax_losses(asked, items, candidates.log_q, masks, target)
    # The target's own correction is a constant: added back, a sampled loss is comparable with a full one.
    loss = (losses - candidates.log_q[target]).mean()
    beside = torch.zeros(())
    if auxiliary is not None and noise is not None and len(target):
        view = View(seen, scenarios, columns[inputs], items, candidates.log_q)
        beside = auxiliary(encoder, view, users, asked, target, noise)
    return NextItemLoss(loss, beside, len(target), rows, embedding)


class Masks(NamedTuple):
    """Candidate c is left out for prediction p where first_seen[user[p], c] <= until[p]."""

    first_seen: Tensor  # [U, M] i8
    user: Tensor  # [P]
    until: Tensor  # [P] i8


class _SoftmaxLoss(torch.autograd.Function):
    """Cross entropy of users [P, DIM] against items [M, DIM]: losses [P]. A chunk of predictions at a time, gradient at once, so that
    the [P, M] logits, most of the work of a step, never leave the cache. All losses must get the same gradient, as in their mean."""

    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor, log_q: Tensor, masks: Masks, targets: Tensor) -> Tensor:
        losses, user_gradient = users.new_empty(len(users)), torch.empty_like(users)
        item_gradient = torch.zeros_like(items)
        for start in range(0, len(users), CHUNK):
            part = slice(start, start + CHUNK)
            logits = torch.addmm(log_q, users[part], items.T, beta=-1)
            logits.masked_fill_(masks.first_seen[masks.user[part]] <= masks.until[part, None], MASKED)
            wanted = targets[part, None]
            total = logits.logsumexp(1, keepdim=True)
            losses[part] = (total - logits.gather(1, wanted))[:, 0]
            surplus = logits.sub_(total).exp_()
            surplus.scatter_add_(1, wanted, surplus.new_full(wanted.shape, -1.0))
            torch.mm(surplus, items, out=user_gradient[part])
            item_gradient.addmm_(surplus.T, users[part])
        ctx.save_for_backward(user_gradient, item_gradient)
        return losses

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        user_gradient, item_gradient = ctx.saved_tensors
        scale = gradients[0][0]
        return user_gradient * scale, item_gradient * scale, None, None, None


def softmax_losses(users: Tensor, items: Tensor, log_q: Tensor, masks: Masks, targets: Tensor) -> Tensor:
    """Cross entropies [P] of logits users . items - log_q, of which only the mean may be differentiated."""
    losses: Tensor = _SoftmaxLoss.apply(users, items, log_q, masks, targets)
    return losses


def interactions(windows: Sequences, vectors: Tensor) -> Interactions:
    """A batch of windows as the encoder reads it, given the vectors of its rows."""
    present = torch.from_numpy(windows.rows > 0)
    actions, values, gaps = (torch.from_numpy(x) for x in (windows.actions, windows.values, windows.gaps))
    return Interactions(vectors, present, actions, values, gaps)


def _first_seen(columns: Tensor, windows: Sequences, candidates: int) -> Tensor:
    """[U, candidates]: at which place of the window a candidate is first among the inputs; -1 before it, 127 never."""
    users, length = windows.rows.shape
    first = torch.full((users, candidates + 1), 127, dtype=torch.int8)
    places = torch.arange(length, dtype=torch.int8).expand(users, length)
    first.scatter_reduce_(1, columns[torch.from_numpy(windows.rows)], places, "amin")
    earlier = columns[torch.from_numpy(windows.earlier)]
    first.scatter_(1, earlier, torch.full(earlier.shape, -1, dtype=torch.int8))
    return first[:, :candidates]
