"""The sequence encoder: a causal transformer over a user's interactions that answers what comes next.

In the manner of SASRec (Kang and McAuley 2018) and HSTU (Zhai et al. 2024): two pre-norm blocks whose attention knows how far apart
two interactions are, in places and in time. The next item is found by cosine similarity with a temperature: a user is their history
and has no parameters of their own.
"""

from math import sqrt
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from shared.model_contract import ACTIONS, DIM, HISTORY, MAX_SCENARIOS

HEADS = 2
BLOCKS = 2
HIDDEN = 2 * DIM
DROPOUT = 0.2
TEMPERATURE = 0.08
GAP_BUCKETS = 40
BUCKETS_PER_E = 2.0  # two buckets for each factor of e: 40 of them reach from a second to fifteen years
MASKED = -1e9


class Interactions(NamedTuple):
    """B histories of length L, oldest first, padded on the left with row 0."""

    vectors: Tensor  # [B, L, DIM] f32 rows of the item table
    present: Tensor  # [B, L] bool, False where padded
    actions: Tensor  # [B, L] i64, 1 + index into ACTIONS
    values: Tensor  # [B, L] f32, 0..1
    gaps: Tensor  # [B, L] f32, seconds to the next interaction, or to the request


class Noise:
    """Dropout from a generator of its own, so that equal seeds give equal models; a byte a number, since torch's own is slow here."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator

    def __call__(self, x: Tensor) -> Tensor:
        drawn = np.frombuffer(self._generator.bytes(x.numel()), np.uint8)
        dropped = round(DROPOUT * 256)
        return x * (torch.from_numpy(drawn >= dropped).view(x.shape) * (256 / (256 - dropped)))


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


class Block(nn.Module):
    """Pre-norm attention with a bias for distance in places and time, then a pre-norm feed-forward layer."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(DIM)
        self.query = nn.Parameter(_init(DIM, DIM))
        self.key = nn.Parameter(_init(DIM, DIM))
        self.value = nn.Parameter(_init(DIM, DIM))
        self.out = nn.Parameter(_init(DIM, DIM))
        self.time_bias = nn.Parameter(torch.zeros(GAP_BUCKETS, HEADS))
        self.place_bias = nn.Parameter(torch.zeros(HEADS, HISTORY))
        self.feed_norm = nn.LayerNorm(DIM)
        self.feed_in = nn.Parameter(_init(DIM, HIDDEN))
        self.feed_in_bias = nn.Parameter(torch.zeros(HIDDEN))
        self.feed_out = nn.Parameter(_init(HIDDEN, DIM))
        self.feed_out_bias = nn.Parameter(torch.zeros(DIM))

    def forward(self, x: Tensor, bias: Tensor, queries: int, noise: Noise | None = None) -> Tensor:
        """[B, L, DIM] -> [B, queries, DIM] for the last `queries` places; `bias` is [B, HEADS, queries, L]."""
        attended = self._attend(self.attention_norm(x), bias, queries)
        x = x[:, -queries:] + (noise(attended) if noise else attended)
        hidden = functional.silu(self.feed_norm(x) @ self.feed_in + self.feed_in_bias)
        fed = hidden @ self.feed_out + self.feed_out_bias
        return x + (noise(fed) if noise else fed)

    def _attend(self, x: Tensor, bias: Tensor, queries: int) -> Tensor:
        query = _split(x[:, -queries:] @ self.query)
        weights = torch.softmax(query @ _split(x @ self.key).transpose(2, 3) / sqrt(DIM // HEADS) + bias, dim=-1)
        mixed = (weights @ _split(x @ self.value)).transpose(1, 2)
        return mixed.flatten(2) @ self.out


class Encoder(nn.Module):
    """Interactions -> user vectors: unit vectors over the temperature, so that user . row is the logit of the item."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((DIM,), 1.0))
        # Not zero: action 0 is all there is of an empty history, and a zero vector has no direction to learn from.
        self.action = nn.Parameter(torch.randn(len(ACTIONS) + 1, DIM) * 0.1)
        self.strength = nn.Parameter(torch.zeros(len(ACTIONS) + 1, DIM))
        self.gap = nn.Parameter(torch.zeros(GAP_BUCKETS, DIM))
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.norm = nn.LayerNorm(DIM)
        self.scenario_gate = nn.Parameter(torch.zeros(MAX_SCENARIOS, DIM))
        self.scenario_shift = nn.Parameter(torch.zeros(MAX_SCENARIOS, DIM))

    def forward(self, seen: Interactions, scenarios: Tensor, noise: Noise | None = None) -> Tensor:
        """User vectors at every place: [B, L, DIM]. `scenarios` [B, L] is the scenario that the next item is for."""
        length = seen.present.shape[1]
        return self.encode(seen, scenarios, self.place_biases(length, length), length, noise)

    def place_biases(self, length: int, queries: int) -> list[Tensor]:
        """The bias for distance in places of each block: [HEADS, length, length], of the last [HEADS, queries, length]."""
        place = torch.arange(length)
        distance = (place[:, None] - place[None, :]).clamp(min=0)
        *inner, last = self._blocks()
        return [*(block.place_bias[:, distance] for block in inner), last.place_bias[:, distance[-queries:]]]

    def encode(
        self, seen: Interactions, scenarios: Tensor, place: list[Tensor], queries: int, noise: Noise | None = None
    ) -> Tensor:
        """User vectors at the last `queries` places, [B, queries, DIM]; `scenarios` is [B, queries]."""
        x = self._embed(seen)
        x = noise(x) if noise else x
        buckets, masked = _elapsed(seen.gaps), _mask(seen.present)
        length = seen.present.shape[1]
        for index, (block, distance) in enumerate(zip(self._blocks(), place, strict=True)):
            asked = queries if index == BLOCKS - 1 else length
            time = self._lookup(buckets[:, -asked:], block.time_bias).permute(0, 3, 1, 2)
            bias = (time + distance).masked_fill(masked[:, None, -asked:], MASKED)
            x = block(x, bias, asked, noise)
        x = self.norm(x)
        gate, shift = (functional.embedding(scenarios, x) for x in (self.scenario_gate, self.scenario_shift))
        x = x * (1 + gate) + shift
        users: Tensor = functional.normalize(x, dim=-1) / TEMPERATURE
        return users

    def _lookup(self, buckets: Tensor, table: Tensor) -> Tensor:
        found: Tensor = (_Lookup.apply if self.training else functional.embedding)(buckets, table)
        return found

    def _embed(self, seen: Interactions) -> Tensor:
        strength = functional.embedding(seen.actions, self.strength) * seen.values[..., None]
        gap = functional.embedding(_bucket(seen.gaps.double()), self.gap)
        return seen.vectors * self.scale * sqrt(DIM) + functional.embedding(seen.actions, self.action) + strength + gap

    def _blocks(self) -> list[Block]:
        return list(self.blocks)  # type: ignore[arg-type]  # ModuleList forgets the class


def _init(rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns) / sqrt(rows)


def _split(x: Tensor) -> Tensor:
    """[B, L, DIM] -> [B, HEADS, L, DIM / HEADS]."""
    return x.reshape(x.shape[0], x.shape[1], HEADS, DIM // HEADS).transpose(1, 2)


def _bucket(seconds: Tensor) -> Tensor:
    """Log bucket of a time span. In doubles: in floats two runtimes round a span at a bucket's edge to different sides."""
    return (torch.log(seconds.clamp(min=0) + 1) * BUCKETS_PER_E).long().clamp(max=GAP_BUCKETS - 1)


def _elapsed(gaps: Tensor) -> Tensor:
    """[B, L, L] bucket of the time from interaction j until the moment that place i predicts."""
    after = torch.cumsum(gaps.double(), dim=1)
    before = after - gaps
    return _bucket(after[:, :, None] - before[:, None, :])


def _mask(present: Tensor) -> Tensor:
    """[B, L, L], True where place i must not look at j: later ones, and padding; every place may look at itself."""
    length = present.shape[1]
    place = torch.arange(length)
    later = place[None, :] > place[:, None]
    other = place[None, :] != place[:, None]
    return later[None] | (other[None] & ~present[:, None, :])
