"""Logistic matrix factorisation: biases and vectors of users and items, fitted to the training events. A reference for `ctr`."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from eddy_lab.evaluate.labels import auc
from eddy_lab.evaluate.rating_model.state import F32, I64, Bool

FACTORS = 16
EPOCHS = 12
RATE = 5e-3
BATCH = 4096
DECAY = 2e-5
PREDICTION_BATCH = 50_000


class _Factors(nn.Module):
    def __init__(self, users: int, items: int) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(users, FACTORS + 1), nn.Embedding(items, FACTORS + 1)
        for table in (self.user, self.item):
            nn.init.normal_(table.weight, std=0.05)
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        user, item = self.user(users), self.item(items)
        logits: torch.Tensor = (user[:, 1:] * item[:, 1:]).sum(dim=1) + user[:, 0] + item[:, 0] + self.bias
        return logits


def fit_factors(users: I64, items: I64, labels: Bool, train: I64, valid: I64, test: I64, seed: int) -> F32:
    """Logits of the events `test` by the epoch with the best AUC on `valid`.

    Users and items without training events keep vectors near 0.
    """
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    user, item, target = torch.from_numpy(users), torch.from_numpy(items), torch.from_numpy(labels.astype(np.float32))
    model = _Factors(int(users.max()) + 1, int(items.max()) + 1)
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)
    best, test_logits = -1.0, np.zeros(len(test), np.float32)

    @torch.no_grad()
    def predict(events: I64) -> F32:
        return torch.cat(
            [model(user[part], item[part]) for part in torch.split(torch.from_numpy(events), PREDICTION_BATCH)]
        ).numpy()

    for _ in range(EPOCHS):
        for part in torch.split(torch.from_numpy(random.permutation(train)), BATCH):
            logits = model(user[part], item[part])
            penalty = (model.user(user[part]).square().sum() + model.item(item[part]).square().sum()) * DECAY
            loss = functional.binary_cross_entropy_with_logits(logits, target[part]) + penalty
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        quality = auc(predict(valid), labels[valid])
        if quality > best:
            best, test_logits = quality, predict(test)
    return test_logits
