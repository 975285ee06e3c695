"""Causal self-attention blocks in sequence encoders: biases for distance in places and time, and who may look at whom."""

import torch
from torch import Tensor, nn

from eddy.contract.model import DIM, HISTORY, Columns
from eddy_trainer.core.models.encoder import GAP_BUCKETS, Dropout, Encoder, EncoderQuery, bucket_rows, time_bucket

HEADS = 2
BLOCKS = 2
MASKED_LOGIT = -1e9


class Block(nn.Module):
    """One block of an attention encoder: implements `forward`. `gated` is the last one: it knows the scenario that is asked for."""

    def __init__(self, gated: bool) -> None:
        super().__init__()
        self.gated = gated
        self.time_bias = nn.Parameter(torch.zeros(GAP_BUCKETS, HEADS))
        self.place_bias = nn.Parameter(torch.zeros(HEADS, HISTORY))

    def forward(
        self, x: Tensor, bias: Tensor, allowed: Tensor, scenarios: Tensor, queries: int, dropout: Dropout | None
    ) -> Tensor:
        """[B, L, DIM] -> [B, queries, DIM] for the last `queries` places.

        `bias` is [B, HEADS, queries, L], `allowed` [B, queries, L], `scenarios` [B, queries]: for the gated block.
        """
        raise NotImplementedError


class AttentionEncoder(Encoder):
    """Blocks of one kind, one after another; the last one answers only the places that are asked for, and knows the scenario."""

    derived = ("place_bias",)

    def __init__(self, columns: Columns, block: type[Block]) -> None:
        super().__init__(columns)
        self.blocks = nn.ModuleList(block(index == BLOCKS - 1) for index in range(BLOCKS))

    def constants(self, length: int, queries: int) -> list[Tensor]:
        """The bias for distance in places of each block: [HEADS, length, length], of the last [HEADS, queries, length]."""
        place = torch.arange(length)
        distance = (place[:, None] - place[None, :]).clamp(min=0)
        *inner, last = self._blocks()
        return [*(block.place_bias[:, distance] for block in inner), last.place_bias[:, distance[-queries:]]]

    def states(self, x: Tensor, asked: EncoderQuery) -> Tensor:
        seen, length = asked.seen, asked.seen.present.shape[1]
        buckets, allowed = _elapsed(seen.gaps), _allowed(seen.present, asked.causal)
        for index, (block, distance) in enumerate(zip(self._blocks(), asked.constants, strict=True)):
            queries = asked.queries if index == BLOCKS - 1 else length
            time = bucket_rows(buckets[:, -queries:], block.time_bias, self.training).permute(0, 3, 1, 2)
            x = block(x, time + distance, allowed[:, -queries:], asked.scenarios, queries, asked.dropout)
        return x

    def _blocks(self) -> list[Block]:
        return list(self.blocks)  # type: ignore[arg-type]  # ModuleList forgets the class


def heads_of(x: Tensor) -> Tensor:
    """[B, L, DIM] -> [B, HEADS, L, DIM / HEADS]."""
    return x.reshape(x.shape[0], x.shape[1], HEADS, DIM // HEADS).transpose(1, 2)


def _elapsed(gaps: Tensor) -> Tensor:
    """[B, L, L] bucket of the time from interaction j until the moment that place i predicts."""
    after = torch.cumsum(gaps.double(), dim=1)
    before = after - gaps
    return time_bucket(after[:, :, None] - before[:, None, :])


def _allowed(present: Tensor, causal: bool) -> Tensor:
    """[B, L, L], False where place i must not look at j: later ones, and padding; every place may look at itself."""
    length = present.shape[1]
    place = torch.arange(length)
    same = place[None, :] == place[:, None]
    allowed = same[None] | present[:, None, :]
    return allowed & (place[None, :] <= place[:, None])[None] if causal else allowed
