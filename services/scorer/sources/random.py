"""A uniform draw from everything that may be recommended: it keeps every item's propensity above zero."""

from collections.abc import Iterable, Iterator

import numpy as np

from services.scorer.arrays import I64, Bool
from services.scorer.batch import Batch
from services.scorer.catalogue import Catalogue

_BLIND_DRAWS = 16


class RandomSource:
    """Draws eligible, unblocked rows without replacement, uniformly, until `slots` of them are not among `considered`.

    A slot takes the first drawn row that is not in the list. The list comes from `considered` alone, so the draw does not
    depend on it, and the slot's item is uniform over what is eligible and not listed.
    """

    name = "random"

    def __init__(self, catalogue: Catalogue, rng: np.random.Generator) -> None:
        self._catalogue = catalogue
        self._rng = rng

    def draw(self, batch: Batch, line: int, eligible: I64, considered: set[int], slots: int) -> list[int]:
        """Rows in the order of the draw, for request number `line` of the batch; `eligible` holds the scenario's rows."""
        drawn: list[int] = []
        outside = 0
        for row in self._stream(batch, line, eligible):
            if outside == slots:
                break
            drawn.append(row)
            outside += row not in considered
        return drawn

    def _stream(self, batch: Batch, line: int, eligible: I64) -> Iterator[int]:
        """Each open row once, in random order."""
        kept = batch.kept[line]
        rows = eligible if kept is None else kept
        given: set[int] = set()
        if len(rows):
            guesses = rows[self._rng.integers(len(rows), size=_BLIND_DRAWS)]
            yield from _fresh(guesses[self._open(batch, line, guesses)].tolist(), given)
        # Nearly everything is blocked or listed: go through what is left.
        left = rows[self._open(batch, line, rows)]
        yield from _fresh(self._rng.permutation(left).tolist(), given)

    def _open(self, batch: Batch, line: int, rows: I64) -> Bool:
        open_rows: Bool = self._catalogue.eligible[batch.scenarios[line], rows] & ~batch.blocked[line, rows]
        return open_rows


def _fresh(rows: Iterable[int], given: set[int]) -> Iterator[int]:
    for row in rows:
        if row not in given:
            given.add(row)
            yield row
