"""Sequence encoders of causal self-attention blocks, with biases for distance in positions and in time, and the attention mask."""

import torch
from torch import Tensor, nn

from eddy.contract.model import DIM, HISTORY, Columns
from eddy_trainer.core.models.encoder import GAP_BUCKETS, Dropout, Encoder, EncoderQuery, bucket_rows, time_bucket

HEADS = 2
BLOCKS = 2
MASKED_LOGIT = -1e9


class Block(nn.Module):
    """One block of an attention encoder; subclasses implement `forward`. The last block is `gated` by the scenario of the request."""

    def __init__(self, gated: bool) -> None:
        super().__init__()
        self.gated = gated
        self.time_bias = nn.Parameter(torch.zeros(GAP_BUCKETS, HEADS))
        # The name is part of the checkpoint format.
        self.place_bias = nn.Parameter(torch.zeros(HEADS, HISTORY))

    def forward(
        self, x: Tensor, bias: Tensor, allowed: Tensor, scenarios: Tensor, queries: int, dropout: Dropout | None
    ) -> Tensor:
        """[B, L, DIM] -> [B, queries, DIM] for the last `queries` positions.

        `bias` is [B, HEADS, queries, L], `allowed` [B, queries, L]; `scenarios` [B, queries] is for the gated block.
        """
        raise NotImplementedError


class AttentionEncoder(Encoder):
    """A stack of blocks of one kind. The last one computes only the queried positions and is gated by the scenario."""

    derived = ("place_bias",)

    def __init__(self, columns: Columns, block: type[Block]) -> None:
        super().__init__(columns)
        self.blocks = nn.ModuleList(block(index == BLOCKS - 1) for index in range(BLOCKS))

    def constants(self, length: int, queries: int) -> list[Tensor]:
        """Return each block's bias for distance in positions: [HEADS, length, length], for the last block [HEADS, queries, length]."""
        position = torch.arange(length)
        distance = (position[:, None] - position[None, :]).clamp(min=0)
        *inner, last = self._blocks()
        return [*(block.place_bias[:, distance] for block in inner), last.place_bias[:, distance[-queries:]]]

    def states(self, x: Tensor, query: EncoderQuery) -> Tensor:
        histories, length = query.histories, query.histories.present.shape[1]
        buckets, allowed = _elapsed_buckets(histories.gaps), _allowed(histories.present, query.causal)
        for index, (block, distance) in enumerate(zip(self._blocks(), query.constants, strict=True)):
            queries = query.queries if index == BLOCKS - 1 else length
            time = bucket_rows(buckets[:, -queries:], block.time_bias, self.training).permute(0, 3, 1, 2)
            x = block(x, time + distance, allowed[:, -queries:], query.scenarios, queries, query.dropout)
        return x

    def _blocks(self) -> list[Block]:
        return list(self.blocks)  # type: ignore[arg-type]  # ModuleList is not generic


def heads_of(x: Tensor) -> Tensor:
    """[B, L, DIM] -> [B, HEADS, L, DIM / HEADS]."""
    return x.reshape(x.shape[0], x.shape[1], HEADS, DIM // HEADS).transpose(1, 2)


def _elapsed_buckets(gaps: Tensor) -> Tensor:
    """[B, L, L] bucket of the time from interaction j to the moment that position i predicts."""
    after = torch.cumsum(gaps.double(), dim=1)
    before = after - gaps
    return time_bucket(after[:, :, None] - before[:, None, :])


def _allowed(present: Tensor, causal: bool) -> Tensor:
    """[B, L, L], False where position i must not attend to j: later positions and padding. Every position may attend to itself."""
    length = present.shape[1]
    position = torch.arange(length)
    same = position[None, :] == position[:, None]
    allowed = same[None] | present[:, None, :]
    return allowed & (position[None, :] <= position[:, None])[None] if causal else allowed
