"""The trainer's encoder on a fixed data set: many passes over all sequences, and rankings of held-out interactions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import cos, pi

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from eddy.contract.model import HISTORY, MAX_SCENARIOS, PADDING_ROW, Columns
from eddy_trainer.core.encoder_training import EncoderPolicy, EncoderTrainer
from eddy_trainer.core.models import MODELS
from eddy_trainer.core.next_item import encoder_inputs
from eddy_trainer.core.sequences import Sequences

Rows = NDArray[np.int64]
Score = Callable[[Rows, Rows], NDArray[np.float32]]

WARM_UP = 0.05
SEEN_BEFORE = 150
OUTSIDE = -1


@dataclass(frozen=True, slots=True)
class TrainingHistories:
    """The interactions of U users, oldest first, concatenated: those of user u have the indices `starts[u]` to `starts[u + 1]`.

    `rows` are item rows from 1; `actions`, `values` and `scenarios` as in the model contract, `at` in seconds.
    """

    starts: Rows
    rows: Rows
    actions: Rows
    values: NDArray[np.float32]
    scenarios: Rows
    at: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def lengths(self) -> Rows:
        return np.diff(self.starts)

    def windows(self, users: Rows, ends: Rows, length: int = HISTORY, seen_before: int = SEEN_BEFORE) -> Sequences:
        """Up to `length` predictions of each user, the last of which is the interaction before index `ends` [U] of the user's history.

        They are cut as in the trainer's store: the step before a user's first interaction is padding with a target.
        """
        steps = ends[:, None] + np.arange(-length - 1, 0)[None, :]
        exists = steps >= 0
        indices = np.where(exists, self.starts[users][:, None] + steps, 0)
        column = {
            name: getattr(self, name)[indices] * exists for name in ("rows", "actions", "values", "scenarios", "at")
        }
        inputs, targets = slice(0, length), slice(1, length + 1)
        gaps = np.maximum(column["at"][:, targets] - column["at"][:, inputs], 0) * exists[:, inputs]
        before = ends[:, None] - length - 1 + np.arange(-seen_before, 0)[None, :]
        earlier = np.where(before >= 0, self.rows[np.where(before >= 0, self.starts[users][:, None] + before, 0)], 0)
        return Sequences(
            rows=column["rows"][:, inputs],
            actions=column["actions"][:, inputs],
            values=column["values"][:, inputs].astype(np.float32),
            gaps=gaps.astype(np.float32),
            targets=column["rows"][:, targets],
            numbers=np.zeros_like(column["rows"][:, targets]),
            scenarios=column["scenarios"][:, targets],
            earlier=earlier,
        )


@dataclass(frozen=True, slots=True)
class OfflinePolicy:
    """Number of passes, windows per step, and learning rate, which rises over the first twentieth and falls as a cosine."""

    epochs: int = 40
    users: int = 128
    rate: float = 3e-3
    dropout: float = 0.2
    negatives: int = 512
    full_softmax_items: int = 5000


def train(
    model: str,
    items: int,
    histories: TrainingHistories,
    ends: Rows,
    unseen_only: Sequence[int],
    policy: OfflinePolicy,
    seed: int,
    after_epoch: Callable[[int, EncoderTrainer], bool] = lambda *_: True,
    start: Mapping[str, torch.Tensor] | None = None,
) -> EncoderTrainer:
    """Train an encoder of `items` items on each user's first `ends` interactions, from the weights `start` if given.

    `unseen_only` are the scenarios that recommend an item once. `after_epoch(epoch, trainer)` stops the training by returning False.
    """
    encoder = EncoderPolicy(
        rate=policy.rate,
        dropout=policy.dropout,
        negatives=policy.negatives,
        full_softmax_items=policy.full_softmax_items,
        by_length=True,
    )
    once = torch.zeros(MAX_SCENARIOS, dtype=torch.bool)
    once[list(unseen_only)] = True
    trainer = EncoderTrainer(MODELS[model].encoder, encoder, once, seed, Columns())
    if start is not None:
        trainer.encoder.load_state_dict(start)
    trainer.table.rows([str(row) for row in range(1, items + 1)])
    trained = np.arange(len(histories.rows)) < np.repeat(histories.starts[:-1] + ends, histories.lengths())
    for scenario in np.unique(histories.scenarios).tolist():
        own = histories.scenarios == scenario
        trainer.table.add_to_scenario(np.unique(histories.rows[own]), scenario)
        trainer.count_interactions(histories.rows[own & trained], scenario)
    random = np.random.default_rng(seed)
    done, total = 0, policy.epochs * _steps(ends, policy.users)
    for epoch in range(policy.epochs):
        for users, stops in _batches(ends, policy, random):
            trainer.set_learning_rate(_rate(done / total))
            trainer.learn(histories.windows(users, stops))
            done += 1
        if not after_epoch(epoch, trainer):
            break
    return trainer


def ranks_of(
    score: Score, histories: TrainingHistories, users: Rows, ends: Rows, items: slice = slice(1, None)
) -> Rows:
    """Rank [U] of the interaction at index `ends` (of all users) among the item rows `items` that its user has not seen before.

    `score(users, ends)` returns scores [U, rows]; ties count against the interaction. OUTSIDE if the user has seen its item before, because
    seen items are not ranked.
    """
    ranks = np.empty(len(users), np.int64)
    by_length = np.argsort(ends[users], kind="stable")
    for batch in np.array_split(by_length, max(1, len(users) // 256)):
        part = users[batch]
        scores = score(part, ends[part])
        others = np.ones(scores.shape[1], bool)
        others[items] = False
        scores[:, others] = -np.inf
        scores[:, PADDING_ROW] = -np.inf
        for row, user in enumerate(part.tolist()):
            start, end = int(histories.starts[user]), int(histories.starts[user] + ends[user])
            target = scores[row, histories.rows[end]]
            scores[row, histories.rows[start:end]] = -np.inf
            repeated = scores[row, histories.rows[end]] < target
            ranks[batch[row]] = OUTSIDE if repeated else int(np.count_nonzero(scores[row] >= target)) - 1
    return ranks


@torch.no_grad()
def encoder_scores(
    trainer: EncoderTrainer, histories: TrainingHistories, users: Rows, ends: Rows
) -> NDArray[np.float32]:
    """Scores [U, rows] of all items for each user's interaction at `ends`, from the interactions before it; row 0 is padding."""
    trainer.encoder.eval()
    windows = histories.windows(users, ends + 1, min(HISTORY, int(ends.max()) + 1), seen_before=0)
    table = trainer.table.all_vectors()
    history = encoder_inputs(windows, functional.embedding(torch.from_numpy(windows.rows), table))
    scores = trainer.encoder(history, torch.from_numpy(windows.scenarios))[:, -1] @ table.T
    trainer.encoder.train()
    return np.asarray(scores.numpy(), np.float32)


def _steps(ends: Rows, users: int) -> int:
    return -(-int(np.ceil(ends / HISTORY).sum()) // users)


def _batches(ends: Rows, policy: OfflinePolicy, random: np.random.Generator) -> list[tuple[Rows, Rows]]:
    """All sequences in windows of HISTORY, each from a random offset, in random order."""
    pairs = []
    for user, end in enumerate(ends.tolist()):
        stop = end
        if end > HISTORY:
            stop = end + int(random.integers(HISTORY)) - HISTORY + 1
            pairs.append((user, end))
            stop = stop - HISTORY if stop > end - HISTORY // 2 else stop
        while stop > 0:
            pairs.append((user, stop))
            stop -= HISTORY
    order = np.array(pairs, np.int64)[random.permutation(len(pairs))]
    batches = np.array_split(order, max(1, len(order) // policy.users))
    return [(part[:, 0], part[:, 1]) for part in batches]


def _rate(progress: float) -> float:
    return min(1.0, progress / WARM_UP) * (0.02 + 0.98 * (1 + cos(pi * progress)) / 2)
