"""What all encoders share: how interactions are read, and how a state becomes a user vector.

An encoder turns a user's interactions into user vectors; the next item is found by cosine similarity with a temperature. A user is
their history and has no parameters of their own.
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
BUCKETS_PER_E = 2.0  # two buckets for each factor of e: 40 of them reach from a second to fifteen years


class Interactions(NamedTuple):
    """B histories of length L, oldest first, padded on the left with row 0."""

    vectors: Tensor  # [B, L, DIM] f32 rows of the item table
    present: Tensor  # [B, L] bool, False where padded
    actions: Tensor  # [B, L] i64, 1 + index into the actions of the model, 0 for one without a head
    values: Tensor  # [B, L] f32, 0..1
    gaps: Tensor  # [B, L] f32, seconds to the next interaction, or to the request


class EncoderQuery(NamedTuple):
    """What an encoder is asked: who saw what, and user vectors at how many last places."""

    seen: Interactions
    scenarios: Tensor  # [B, queries] of the next item
    queries: int
    constants: list[Tensor]  # what Encoder.constants answers
    dropout: "Dropout | None"
    causal: bool  # else a place may look at later ones, where the kind can


class Dropout:
    """Dropout from a generator of its own, so that equal seeds give equal models; a byte a number, since torch's own is slow here."""

    def __init__(self, generator: np.random.Generator, share: float = DROPOUT_RATE) -> None:
        self._generator = generator
        self._dropped = round(share * 256)

    def __call__(self, x: Tensor) -> Tensor:
        return x * self.mask(*x.shape)

    def mask(self, *shape: int) -> Tensor:
        """Zeros, and numbers that keep the mean: for those who drop the same units more than once."""
        drawn = np.frombuffer(self._generator.bytes(int(np.prod(shape))), np.uint8)
        return torch.from_numpy(drawn >= self._dropped).view(shape) * (256 / (256 - self._dropped))


class Encoder(nn.Module):
    """Interactions -> user vectors: unit vectors over the temperature, so that user . row is the logit of the item.

    A kind of encoder implements `states`. What it computes for tracing from weights alone stands in `constants`: in a traced graph it
    would be folded into a tensor that has another name, and a release could not replace it. `derived` ends the names of those weights.
    """

    derived: tuple[str, ...] = ()
    axes: ClassVar[Axes] = {"action": (ACTION, None), "strength": (ACTION, None)}

    def __init__(self, columns: Columns) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((DIM,), 1.0))
        # Not zero: action 0 is all there is of an empty history, and a zero vector has no direction to learn from.
        self.action = nn.Parameter(torch.randn(len(columns.actions) + 1, DIM) * 0.1)
        self.strength = nn.Parameter(torch.zeros(len(columns.actions) + 1, DIM))
        self.gap = nn.Parameter(torch.zeros(GAP_BUCKETS, DIM))
        self.norm = nn.LayerNorm(DIM)
        self.gate = nn.Parameter(torch.zeros(MAX_SCENARIOS, DIM))
        self.shift = nn.Parameter(torch.zeros(MAX_SCENARIOS, DIM))

    def states(self, x: Tensor, asked: EncoderQuery) -> Tensor:
        """Embedded interactions [B, L, DIM] -> states [B, queries, DIM] at the last places."""
        raise NotImplementedError

    def constants(self, length: int, queries: int) -> list[Tensor]:
        """Tensors that follow from the weights alone."""
        return []

    def forward(
        self, seen: Interactions, scenarios: Tensor, dropout: Dropout | None = None, causal: bool = True
    ) -> Tensor:
        """User vectors at every place: [B, L, DIM]. `scenarios` [B, L] is the scenario that the next item is for."""
        length = seen.present.shape[1]
        return self.encode(seen, scenarios, self.constants(length, length), length, dropout, causal)

    def encode(
        self,
        seen: Interactions,
        scenarios: Tensor,
        constants: list[Tensor],
        queries: int,
        dropout: Dropout | None = None,
        causal: bool = True,
    ) -> Tensor:
        """User vectors at the last `queries` places, [B, queries, DIM]; `scenarios` is [B, queries]."""
        x = self._embed(seen)
        x = self._apply_dropout(x, dropout) if dropout else x
        x = self.norm(self.states(x, EncoderQuery(seen, scenarios, queries, constants, dropout, causal)))
        x = x * scenario_gate(scenarios, self.gate) + by_scenario(scenarios, self.shift)
        users: Tensor = functional.normalize(x, dim=-1) / TEMPERATURE
        return users

    def rescore(self, users: Tensor, items: Tensor) -> Tensor | None:
        """Scores [B, K] of items [B, K, DIM] for users [B, DIM] where the kind has more to say than user . item."""
        return None

    def _apply_dropout(self, x: Tensor, dropout: Dropout) -> Tensor:
        """Embedded interactions [B, L, DIM], some of their numbers dropped."""
        return dropout(x)

    def _embed(self, seen: Interactions) -> Tensor:
        strength = functional.embedding(seen.actions, self.strength) * seen.values[..., None]
        gap = functional.embedding(time_bucket(seen.gaps.double()), self.gap)
        return seen.vectors * self.scale * sqrt(DIM) + functional.embedding(seen.actions, self.action) + strength + gap


def scenario_gate(scenarios: Tensor, gates: Tensor) -> Tensor:
    """Gates in (0, 2) that begin at 1, as PEPNet has them (Chang et al. 2023): one scenario turns shared units up and down."""
    return 2 * torch.sigmoid(by_scenario(scenarios, gates))


def by_scenario(scenarios: Tensor, table: Tensor) -> Tensor:
    """Rows [..., D] of `table` [MAX_SCENARIOS, D], as a product: the gradient of a lookup in so small a table is slow."""
    return (scenarios[..., None] == torch.arange(len(table))).to(table.dtype) @ table


class _Lookup(torch.autograd.Function):
    """Rows of a small table. Its gradient counts by bucket, many times faster than the gradient of torch's embedding."""

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
    """Rows [..., D] of `table` by bucket."""
    found: Tensor = (_Lookup.apply if training else functional.embedding)(buckets, table)
    return found


def time_bucket(seconds: Tensor) -> Tensor:
    """Log bucket of a time span. In doubles: in floats two runtimes round a span at a bucket's edge to different sides."""
    return (torch.log(seconds.clamp(min=0) + 1) * BUCKETS_PER_E).long().clamp(max=GAP_BUCKETS - 1)


def scaled_normal(rows: int, columns: int) -> Tensor:
    """Random weights that keep the variance."""
    return torch.randn(rows, columns) / sqrt(rows)
