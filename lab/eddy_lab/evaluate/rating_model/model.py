"""The rating model: item bias, linear part and a small perceptron give cumulative logits of a rating.

The four logits are those of value >= 4, >= 5, >= 3 and >= 2 on an ordinal scale (McCullagh 1980). With scenarios it has gates as in PEPNet
(Chang et al. 2023): a gate in (0, 2) on each input and each hidden unit, all initialised to 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from eddy_lab.evaluate.labels import auc
from eddy_lab.evaluate.rating_model.state import F32, I64

CLIP = 4.0
AT_LEAST = (4.0, 5.0, 3.0, 2.0)  # the first one predicts whether an item is liked
IMPORTANCE = (1.0, 0.3, 0.3, 0.15)
PREDICTION_BATCH = 20_000
MIN_BATCH = 64


class RatingModel(nn.Module):
    """Standardised features [n, F], items [n], scenarios [n] -> logits [n, 4] of AT_LEAST. No gates if `scenarios` is 0."""

    def __init__(self, width: int, items: int, hidden: Sequence[int], scenarios: int = 0) -> None:
        super().__init__()
        self.scenarios = scenarios
        self.item = _zeros(items, 1)
        self.linear = nn.Linear(width, 1)
        sizes = [width, *hidden]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in zip(sizes, hidden, strict=False))
        self.last = nn.Linear(sizes[-1], len(AT_LEAST))
        if scenarios:
            self.scenario = _zeros(scenarios, 1)
            self.scenario_item = _zeros(scenarios * items, 1)
            self.input_gate = _zeros(scenarios, width)
            self.gates = nn.ModuleList(nn.Linear(width + scenarios, size) for size in hidden)
        for part in (self.linear, self.last, *(self.gates if scenarios else ())):
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)

    def forward(self, x: Tensor, items: Tensor, scenarios: Tensor) -> Tensor:
        first = self.linear(x) + self.item(items)
        hidden, context = x, x
        if self.scenarios:
            first = first + self.scenario(scenarios) + self.scenario_item(items * self.scenarios + scenarios)
            context = torch.cat([functional.one_hot(scenarios, self.scenarios).to(x.dtype), x.detach()], dim=1)
            hidden = x * 2 * torch.sigmoid(self.input_gate(scenarios))
        for number, layer in enumerate(self.layers):
            hidden = torch.relu(layer(hidden))
            if self.scenarios:
                hidden = hidden * 2 * torch.sigmoid(self.gates[number](context))
        logits: Tensor = first + self.last(hidden)
        return logits

    def optimiser(self, rate: float, item_decay: float) -> torch.optim.AdamW:
        """AdamW, with a larger weight decay on the parameters of single items and scenarios."""
        decays = {"item": item_decay, "scenario_item": item_decay, "scenario": 1e-2, "input_gate": 1e-2, "gates": 1e-2}
        groups = [
            {"params": [parameter], "weight_decay": decays.get(name.split(".")[0], 1e-3)}
            for name, parameter in self.named_parameters()
        ]
        return torch.optim.AdamW(groups, lr=rate)


@dataclass(frozen=True, slots=True)
class RatedEvents:
    """N events as the model reads them: features [N, F], items, scenarios and ratings [N]."""

    features: F32
    items: I64
    scenarios: I64
    values: F32


@dataclass(frozen=True, slots=True)
class FitPolicy:
    """Passes over the training events. The learning rate falls linearly to 0.

    A pass has `steps` steps, or more if a batch would be larger than `batch`; small data sets therefore get as many steps as large ones.
    """

    epochs: int = 4
    rate: float = 3e-3
    steps: int = 390
    batch: int = 2048
    hidden: tuple[int, ...] = (64, 32)
    item_decay: float = 0.03


def fit(
    events: RatedEvents, items: int, train: I64, valid: I64, test: I64, scenarios: int, policy: FitPolicy, seed: int
) -> F32:
    """Logits of value >= 4 of the events `test`, by the weights of the epoch with the best AUC on `valid`."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    mean, deviation = events.features[train].mean(axis=0), events.features[train].std(axis=0) + 1e-6
    x = torch.from_numpy(np.clip((events.features - mean) / deviation, -CLIP, CLIP).astype(np.float32))
    item, scenario = torch.from_numpy(events.items), torch.from_numpy(events.scenarios)
    targets = at_least(events.values)
    model = RatingModel(x.shape[1], items, policy.hidden, scenarios)
    optimiser = model.optimiser(policy.rate, policy.item_decay)
    batch = max(MIN_BATCH, min(policy.batch, len(train) // policy.steps))
    done, total = 0, policy.epochs * (len(train) // batch)
    best, test_logits = -1.0, np.zeros(len(test), np.float32)

    @torch.no_grad()
    def predict(indices: I64) -> F32:
        parts = torch.split(torch.from_numpy(indices), PREDICTION_BATCH)
        return torch.cat([model(x[part], item[part], scenario[part])[:, 0] for part in parts]).numpy()

    for _ in range(policy.epochs):
        order = random.permutation(train)
        for start in range(0, len(order) - batch + 1, batch):
            for group in optimiser.param_groups:
                group["lr"] = policy.rate * (1 - done / (total + 1))
            part = torch.from_numpy(order[start : start + batch])
            optimiser.zero_grad()
            rating_loss(model(x[part], item[part], scenario[part]), targets[part], torch.tensor(IMPORTANCE)).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimiser.step()
            done += 1
        quality = auc(predict(valid), events.values[valid] >= AT_LEAST[0])
        if quality > best:
            best, test_logits = quality, predict(test)
    return test_logits


def at_least(values: F32) -> Tensor:
    """[N, 4] of 0 and 1: whether each rating reaches each of AT_LEAST."""
    return torch.from_numpy(np.stack([values >= threshold for threshold in AT_LEAST], axis=1).astype(np.float32))


def rating_loss(logits: Tensor, targets: Tensor, importance: Tensor) -> Tensor:
    """Mean over events of the weighted log-losses of the four logits."""
    losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (losses * importance).sum(dim=1).mean()


def _zeros(rows: int, columns: int) -> nn.Embedding:
    return nn.Embedding(rows, columns, _weight=torch.zeros(rows, columns))
