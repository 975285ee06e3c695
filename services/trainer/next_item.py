"""The encoder's loss: softmax over candidate items at every place of every sequence at once.

Above a catalogue size the candidates are a sample, and each logit is corrected by the log of its item's probability of being in the
sample (log-Q correction: Bengio and Senecal 2008; Yi et al. 2019), so that the sampled partition function stands for the whole one.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from services.trainer.encoder import MASKED, Encoder, Interactions, Noise
from services.trainer.item_table import ItemTable
from services.trainer.sequences import Sequences


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
    """Mean loss over `places` predictions, with the leaf embeddings it has to be differentiated by."""

    loss: Tensor
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
) -> NextItemLoss:
    """Softmax loss of what came next. `unseen_only` [MAX_SCENARIOS] says where an item is never recommended twice: there, seen
    items are left out of the softmax, and a repetition is nothing to learn from."""
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

    logits = users[user, place] @ vectors[place_of[candidates.rows]].T - candidates.log_q
    masked = (first_seen[user] <= place[:, None]) & filtered[:, None]
    # The target's own correction is a constant: added back, a sampled loss is comparable with a full one.
    loss = functional.cross_entropy(logits.masked_fill_(masked, MASKED), target) - candidates.log_q[target].mean()
    return NextItemLoss(loss, len(target), rows, embedding)


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
