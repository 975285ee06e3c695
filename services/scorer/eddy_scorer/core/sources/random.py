"""A uniform draw from everything that may be recommended: it keeps every item's propensity above zero."""

from collections.abc import Iterable, Iterator

import numpy as np

from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.sources.source import BaseSource
from eddy_scorer.core.state.arrays import I64, Bool

_BLIND_DRAWS = 8


class RandomSource(BaseSource):
    """Draws open rows without replacement, uniformly, until `slots` of them are not among the merged candidates.

    An exploration slot takes the first drawn row that is not in the slate. The slate comes from the merged candidates alone, so the draw
    does not depend on it, and the slot's item is uniform over what is open and not in the slate.
    """

    name = "random"

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def draw(self, context: BatchContext, merged: I64, slots: list[int]) -> list[list[int]]:
        """Rows for each request in the order of the draw; `merged` [B, C] are the rows of the merged candidates."""
        guesses, usable = self._guesses(context)
        inside = (guesses[:, :, None] == merged[:, None, :]).any(axis=2)
        drawn = []
        for index, guessed in enumerate(zip(guesses.tolist(), usable.tolist(), inside.tolist(), strict=True)):
            blind = [(row, is_merged) for row, is_open, is_merged in zip(*guessed, strict=True) if is_open]
            drawn.append(_until(self._stream(context, index, merged, blind), slots[index]))
        return drawn

    def _guesses(self, context: BatchContext) -> tuple[I64, Bool]:
        """_BLIND_DRAWS eligible rows for each request, with replacement, and which of them are open."""
        batch = context.batch
        pools = [context.orders[scenario].eligible for scenario in batch.scenarios.tolist()]
        sizes = np.array([[len(pool)] for pool in pools])
        positions = (self._rng.random((len(batch), _BLIND_DRAWS)) * sizes).astype(np.int64)
        rows = np.array([pool[own] if len(pool) else own * 0 for pool, own in zip(pools, positions, strict=True)])
        return rows, _open(context, batch.indices, rows) & (rows > 0)

    def _stream(
        self, context: BatchContext, index: int, merged: I64, blind: list[tuple[int, bool]]
    ) -> Iterator[tuple[int, bool]]:
        """Each open row once, in random order, and whether it is among the merged candidates."""
        given: set[int] = set()
        yield from _new(blind, given)
        # Nearly everything is blocked, merged or does not match the query: go through what is left.
        kept = context.batch.kept[index]
        rows = context.orders[int(context.batch.scenarios[index])].eligible if kept is None else kept
        left = self._rng.permutation(rows[_open(context, index, rows)])
        yield from _new(zip(left.tolist(), np.isin(left, merged[index]).tolist(), strict=True), given)


def _open(context: BatchContext, index: int | I64, rows: I64) -> Bool:
    batch = context.batch
    is_open: Bool = context.state.catalogue.eligible[batch.scenarios[index], rows] & ~batch.blocked[index, rows]
    return is_open


def _new(rows: Iterable[tuple[int, bool]], given: set[int]) -> Iterator[tuple[int, bool]]:
    for row, is_merged in rows:
        if row not in given:
            given.add(row)
            yield row, is_merged


def _until(stream: Iterator[tuple[int, bool]], slots: int) -> list[int]:
    """Rows up to and with the one that completes `slots` that are not among the merged candidates."""
    drawn: list[int] = []
    outside = 0
    while outside < slots and (following := next(stream, None)):
        drawn.append(following[0])
        outside += not following[1]
    return drawn
