"""The trainer's encoder on a fixed data set: many passes over all sequences, and whole rankings of what was held out."""

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
    """All that U users did, oldest first, one after another: user u has places `starts[u]` to `starts[u + 1]`.

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
        """Up to `length` predictions of each user that end with the interaction before `ends` [U], counted from the user's first.

        As the trainer's own store cuts them: the place before a user's first interaction is padding with a target.
        """
        places = ends[:, None] + np.arange(-length - 1, 0)[None, :]
        exists = places >= 0
        where = np.where(exists, self.starts[users][:, None] + places, 0)
        column = {
            name: getattr(self, name)[where] * exists for name in ("rows", "actions", "values", "scenarios", "at")
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
            scenarios=column["scenarios"][:, targets],
            earlier=earlier,
        )


@dataclass(frozen=True, slots=True)
class OfflinePolicy:
    """How often and how fast: `epochs` passes, `users` windows a step, the rate rising over a twentieth and falling as a cosine."""

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
    """An encoder of `items` items trained on each user's first `ends` interactions, from the weights `start` where given.

    `after_epoch(epoch, trainer)` may stop it by False.
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
        here = histories.scenarios == scenario
        trainer.table.add_to_scenario(np.unique(histories.rows[here]), scenario)
        trainer.count(histories.rows[here & trained], scenario)
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
    """Place of the interaction of `users` [U] at `ends` (of everybody) among the item rows `items` that the user has not seen before.

    `score(users, ends)` answers scores [U, rows]; an equal score counts against it. OUTSIDE for what the user had before: seen items are
    left out, so that nobody can find it.
    """
    places = np.empty(len(users), np.int64)
    by_length = np.argsort(ends[users], kind="stable")
    for lines in np.array_split(by_length, max(1, len(users) // 256)):
        part = users[lines]
        scores = score(part, ends[part])
        others = np.ones(scores.shape[1], bool)
        others[items] = False
        scores[:, others] = -np.inf
        scores[:, PADDING_ROW] = -np.inf
        for line, user in enumerate(part.tolist()):
            start, end = int(histories.starts[user]), int(histories.starts[user] + ends[user])
            wanted = scores[line, histories.rows[end]]
            scores[line, histories.rows[start:end]] = -np.inf
            repeated = scores[line, histories.rows[end]] < wanted
            places[lines[line]] = OUTSIDE if repeated else int(np.count_nonzero(scores[line] >= wanted)) - 1
    return places


@torch.no_grad()
def encoder_scores(
    trainer: EncoderTrainer, histories: TrainingHistories, users: Rows, ends: Rows
) -> NDArray[np.float32]:
    """Scores [U, rows] of all items for each user's interaction at `ends`, from those before it; row 0 is nobody."""
    trainer.encoder.eval()
    windows = histories.windows(users, ends + 1, min(HISTORY, int(ends.max()) + 1), seen_before=0)
    table = trainer.table.all_vectors()
    seen = encoder_inputs(windows, functional.embedding(torch.from_numpy(windows.rows), table))
    found = trainer.encoder(seen, torch.from_numpy(windows.scenarios))[:, -1] @ table.T
    trainer.encoder.train()
    return np.asarray(found.numpy(), np.float32)


def _steps(ends: Rows, users: int) -> int:
    return -(-int(np.ceil(ends / HISTORY).sum()) // users)


def _batches(ends: Rows, policy: OfflinePolicy, random: np.random.Generator) -> list[tuple[Rows, Rows]]:
    """Every sequence in windows of HISTORY, from an offset of its own, in random order."""
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
