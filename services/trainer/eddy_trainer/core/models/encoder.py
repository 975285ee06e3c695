"""The base of all encoders: the embedding of interactions, and the step from a state to a user vector.

An encoder turns a user's interactions into user vectors; the next item is predicted by cosine similarity with a temperature. Users have no
parameters of their own.
"""

from math import sqrt
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from eddy.contract.model import DIM, MAX_SCENARIOS, Columns
from eddy_trainer.core.models.axes import ACTION, Axes

DROPOUT_RATE = 0.2
TEMPERATURE = 0.08
GAP_BUCKETS = 40
BUCKETS_PER_E = 2.0  # two buckets per factor of e: 40 buckets span one second to fifteen years


class Interactions(NamedTuple):
    """B histories of length L, oldest first, padded on the left with row 0."""

    vectors: Tensor  # [B, L, DIM] f32, rows of the item table
    present: Tensor  # [B, L] bool, False where padded
    actions: Tensor  # [B, L] i64, 1 + index into the actions of the model, 0 for one without a head
    values: Tensor  # [B, L] f32, 0..1
    gaps: Tensor  # [B, L] f32, seconds to the next interaction, or to the request


class EncoderQuery(NamedTuple):
    """Input of `Encoder.states`: histories, and the number of last positions to compute user vectors for."""

    histories: Interactions
    scenarios: Tensor  # [B, queries] of the next item
    queries: int
    constants: list[Tensor]  # the result of Encoder.constants
    dropout: "Dropout | None"
    causal: bool  # otherwise positions may attend to later ones, if the kind supports it


class Dropout:
    """Dropout with its own generator, so that equal seeds give equal models. One random byte per unit: faster than torch's."""

    def __init__(self, generator: np.random.Generator, share: float = DROPOUT_RATE) -> None:
        self._generator = generator
        self._dropped = round(share * 256)

    def __call__(self, x: Tensor) -> Tensor:
        return x * self.mask(*x.shape)

    def mask(self, *shape: int) -> Tensor:
        """Return a mask of zeros and of factors that keep the mean, for dropping the same units repeatedly."""
        random_bytes = np.frombuffer(self._generator.bytes(int(np.prod(shape))), np.uint8)
        return torch.from_numpy(random_bytes >= self._dropped).view(shape) * (256 / (256 - self._dropped))


class Encoder(nn.Module):
    """Interactions -> user vectors: unit vectors divided by the temperature, so that user . row is the logit of the item.

    Subclasses implement `states`. Tensors that depend on weights alone belong in `constants`: tracing would fold them into a tensor
    of another name, which a release could not replace. `derived` are the suffixes of the names of those weights.
    """

    derived: tuple[str, ...] = ()
    axes: ClassVar[Axes] = {"action": (ACTION, None), "strength": (ACTION, None)}

    def __init__(self, columns: Columns) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((DIM,), 1.0))
        # Not zero: an empty history consists of action 0 alone, and a zero vector has no direction and no gradient.
        self.action = nn.Parameter(torch.randn(len(columns.actions) + 1, DIM) * 0.1)
        self.strength = nn.Parameter(torch.zeros(len(columns.actions) + 1, DIM))
        self.gap = nn.Parameter(torch.zeros(GAP_BUCKETS, DIM))
        self.norm = nn.LayerNorm(DIM)
        self.gate = nn.Parameter(torch.zeros(MAX_SCENARIOS, DIM))
        self.shift = nn.Parameter(torch.zeros(MAX_SCENARIOS, DIM))

    def states(self, x: Tensor, query: EncoderQuery) -> Tensor:
        """Embedded interactions [B, L, DIM] -> states [B, queries, DIM] at the last positions."""
        raise NotImplementedError

    def constants(self, length: int, queries: int) -> list[Tensor]:
        """Return tensors that depend on the weights alone."""
        return []

    def forward(
        self, histories: Interactions, scenarios: Tensor, dropout: Dropout | None = None, causal: bool = True
    ) -> Tensor:
        """Return user vectors at every position, [B, L, DIM]. `scenarios` [B, L] are those of the next items."""
        length = histories.present.shape[1]
        return self.encode(histories, scenarios, self.constants(length, length), length, dropout, causal)

    def encode(
        self,
        histories: Interactions,
        scenarios: Tensor,
        constants: list[Tensor],
        queries: int,
        dropout: Dropout | None = None,
        causal: bool = True,
    ) -> Tensor:
        """Return user vectors at the last `queries` positions, [B, queries, DIM]; `scenarios` is [B, queries]."""
        x = self._embed(histories)
        x = self._apply_dropout(x, dropout) if dropout else x
        x = self.norm(self.states(x, EncoderQuery(histories, scenarios, queries, constants, dropout, causal)))
        x = x * scenario_gate(scenarios, self.gate) + by_scenario(scenarios, self.shift)
        users: Tensor = functional.normalize(x, dim=-1) / TEMPERATURE
        return users

    def rescore(self, users: Tensor, items: Tensor) -> Tensor | None:
        """Return scores [B, K] of items [B, K, DIM] for users [B, DIM], or None for kinds that score by user . item only."""
        return None

    def _apply_dropout(self, x: Tensor, dropout: Dropout) -> Tensor:
        """Apply dropout to embedded interactions [B, L, DIM]."""
        return dropout(x)

    def _embed(self, histories: Interactions) -> Tensor:
        strength = functional.embedding(histories.actions, self.strength) * histories.values[..., None]
        gap = functional.embedding(time_bucket(histories.gaps.double()), self.gap)
        return (
            histories.vectors * self.scale * sqrt(DIM)
            + functional.embedding(histories.actions, self.action)
            + strength
            + gap
        )


def scenario_gate(scenarios: Tensor, gates: Tensor) -> Tensor:
    """Return gates in (0, 2), initially 1, by which a scenario scales shared units (PEPNet: Chang et al. 2023)."""
    return 2 * torch.sigmoid(by_scenario(scenarios, gates))


def by_scenario(scenarios: Tensor, table: Tensor) -> Tensor:
    """Return rows [..., D] of `table` [MAX_SCENARIOS, D]. As a product, since the gradient of a lookup is slow for small tables."""
    return (scenarios[..., None] == torch.arange(len(table))).to(table.dtype) @ table


class _Lookup(torch.autograd.Function):
    """Rows of a small table. The gradient is a sum per bucket, many times faster than that of torch's embedding."""

    @staticmethod
    def forward(ctx: Any, buckets: Tensor, table: Tensor) -> Tensor:
        ctx.save_for_backward(buckets)
        ctx.size = len(table)
        return functional.embedding(buckets, table)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        buckets = ctx.saved_tensors[0].flatten()
        columns = gradients[0].flatten(0, -2).T
        sums = [torch.bincount(buckets, column, ctx.size) for column in columns]
        return None, torch.stack(sums, dim=1).to(gradients[0].dtype)


def bucket_rows(buckets: Tensor, table: Tensor, training: bool) -> Tensor:
    """Return rows [..., D] of `table` by bucket."""
    rows: Tensor = (_Lookup.apply if training else functional.embedding)(buckets, table)
    return rows


def time_bucket(seconds: Tensor) -> Tensor:
    """Return the logarithmic bucket of a time span. Uses doubles: in floats, runtimes round differently at the edges of buckets."""
    return (torch.log(seconds.clamp(min=0) + 1) * BUCKETS_PER_E).long().clamp(max=GAP_BUCKETS - 1)


def scaled_normal(rows: int, columns: int) -> Tensor:
    """Return random weights [rows, columns] that preserve the variance."""
    return torch.randn(rows, columns) / sqrt(rows)
