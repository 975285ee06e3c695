"""A uniform draw from everything that may be recommended: it keeps every item's propensity above zero."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from eddy_scorer.core.ranking.batch import Batch
from eddy_scorer.core.state.arrays import I64, Bool
from eddy_scorer.core.state.catalogue import Catalogue

_BLIND_DRAWS = 8


class RandomSource:
    """Draws open rows without replacement, uniformly, until `slots` of them are not among what is considered anyway.

    A slot takes the first drawn row that is not in the list. The list comes from what is considered alone, so the draw does not
    depend on it, and the slot's item is uniform over what is open and not listed.
    """

    name = "random"

    def __init__(self, catalogue: Catalogue, rng: np.random.Generator) -> None:
        self._catalogue = catalogue
        self._rng = rng

    def draw(self, batch: Batch, eligible: Mapping[int, I64], considered: I64, slots: list[int]) -> list[list[int]]:
        """Rows of each request in the order of the draw; `eligible` holds the rows of each scenario, `considered` is [B, C]."""
        guesses, right = self._guesses(batch, eligible)
        inside = (guesses[:, :, None] == considered[:, None, :]).any(axis=2)
        drawn = []
        for line, (rows, real, known) in enumerate(zip(guesses.tolist(), right.tolist(), inside.tolist(), strict=True)):
            blind = [(row, listed) for row, is_open, listed in zip(rows, real, known, strict=True) if is_open]
            drawn.append(_until(self._stream(batch, line, eligible, considered, blind), slots[line]))
        return drawn

    def _guesses(self, batch: Batch, eligible: Mapping[int, I64]) -> tuple[I64, Bool]:
        """_BLIND_DRAWS eligible rows for each request, with replacement, and which of them are open."""
        pools = [eligible[scenario] for scenario in batch.scenarios.tolist()]
        sizes = np.array([[len(pool)] for pool in pools])
        places = (self._rng.random((len(batch), _BLIND_DRAWS)) * sizes).astype(np.int64)
        rows = np.array([pool[own] if len(pool) else own * 0 for pool, own in zip(pools, places, strict=True)])
        return rows, self._open(batch, batch.places, rows) & (rows > 0)

    def _stream(
        self, batch: Batch, line: int, eligible: Mapping[int, I64], considered: I64, blind: list[tuple[int, bool]]
    ) -> Iterator[tuple[int, bool]]:
        """Each open row once, in random order, and whether it is considered anyway."""
        given: set[int] = set()
        yield from _fresh(blind, given)
        # Nearly everything is blocked, considered or does not match the query: go through what is left.
        kept = batch.kept[line]
        rows = eligible[int(batch.scenarios[line])] if kept is None else kept
        left = self._rng.permutation(rows[self._open(batch, line, rows)])
        yield from _fresh(zip(left.tolist(), np.isin(left, considered[line]).tolist(), strict=True), given)

    def _open(self, batch: Batch, line: int | I64, rows: I64) -> Bool:
        open_rows: Bool = self._catalogue.eligible[batch.scenarios[line], rows] & ~batch.blocked[line, rows]
        return open_rows


def _fresh(rows: Iterable[tuple[int, bool]], given: set[int]) -> Iterator[tuple[int, bool]]:
    for row, listed in rows:
        if row not in given:
            given.add(row)
            yield row, listed


def _until(stream: Iterator[tuple[int, bool]], slots: int) -> list[int]:
    """Rows up to and with the one that completes `slots` that are not considered anyway."""
    drawn: list[int] = []
    outside = 0
    while outside < slots and (found := next(stream, None)):
        drawn.append(found[0])
        outside += not found[1]
    return drawn
