"""Uniformly random allowed items for exploration slots, which keep every item's propensity above 0."""

from collections.abc import Iterable, Iterator

import numpy as np

from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.sources.source import BaseSource
from eddy_scorer.core.state.arrays import I64, Bool

# Guesses per request before all allowed rows are permuted, which is slow.
_GUESSES = 8


class RandomSource(BaseSource):
    """Samples allowed rows uniformly without replacement, until `slots` of them are outside the merged candidates.

    An exploration slot takes the first sampled row that is not in the slate. The rest of the slate comes from the merged candidates alone,
    so the sample does not depend on it, and the slot's item is uniform over the allowed rows outside the slate.
    """

    name = "random"

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def sample(self, context: BatchContext, merged: I64, slots: list[int]) -> list[list[int]]:
        """Rows for each request in sampled order; `merged` [B, C] are the rows of the merged candidates."""
        rows, allowed = self._guesses(context)
        is_merged = (rows[:, :, None] == merged[:, None, :]).any(axis=2)
        samples = []
        for index, request in enumerate(zip(rows.tolist(), allowed.tolist(), is_merged.tolist(), strict=True)):
            guesses = [(row, in_merged) for row, is_allowed, in_merged in zip(*request, strict=True) if is_allowed]
            samples.append(_until_filled(self._stream(context, index, merged, guesses), slots[index]))
        return samples

    def _guesses(self, context: BatchContext) -> tuple[I64, Bool]:
        """_GUESSES eligible rows for each request, with replacement, and whether each is allowed."""
        batch = context.batch
        pools = [context.orders[scenario].eligible for scenario in batch.scenarios.tolist()]
        sizes = np.array([[len(pool)] for pool in pools])
        positions = (self._rng.random((len(batch), _GUESSES)) * sizes).astype(np.int64)
        rows = np.array([pool[at] if len(pool) else at * 0 for pool, at in zip(pools, positions, strict=True)])
        return rows, _is_allowed(context, batch.indices, rows) & (rows > 0)

    def _stream(
        self, context: BatchContext, index: int, merged: I64, guesses: list[tuple[int, bool]]
    ) -> Iterator[tuple[int, bool]]:
        """Each allowed row once, in random order, and whether it is among the merged candidates."""
        sampled: set[int] = set()
        yield from _unsampled(guesses, sampled)
        # The guesses were not enough: nearly all rows are blocked, merged or do not match the query.
        query_rows = context.batch.query_rows[index]
        pool = context.orders[int(context.batch.scenarios[index])].eligible if query_rows is None else query_rows
        rows = self._rng.permutation(pool[_is_allowed(context, index, pool)])
        yield from _unsampled(zip(rows.tolist(), np.isin(rows, merged[index]).tolist(), strict=True), sampled)


def _is_allowed(context: BatchContext, index: int | I64, rows: I64) -> Bool:
    batch = context.batch
    allowed: Bool = context.state.catalogue.eligible[batch.scenarios[index], rows] & ~batch.blocked[index, rows]
    return allowed


def _unsampled(rows: Iterable[tuple[int, bool]], sampled: set[int]) -> Iterator[tuple[int, bool]]:
    for row, is_merged in rows:
        if row not in sampled:
            sampled.add(row)
            yield row, is_merged


def _until_filled(stream: Iterator[tuple[int, bool]], slots: int) -> list[int]:
    """The first rows of `stream`, up to the one that makes `slots` rows outside the merged candidates."""
    rows: list[int] = []
    outside = 0
    while outside < slots and (following := next(stream, None)):
        row, is_merged = following
        rows.append(row)
        outside += not is_merged
    return rows
