"""What items and queries mean, so that a query finds what it does not name: vectors of a small language model (eddy.text).

Nothing is read before the first query: who has no search box pays nothing for it.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from itertools import islice

import numpy as np

from eddy.text import TEXT_DIM, TextModel
from eddy_scorer.core.state.arrays import F32, FIRST_CAPACITY, I32, I64, Bool, grown, grown_rows

QUERY_CACHE_SIZE = 1000
TEXTS_PER_BATCH = 32
MIN_SIMILARITY = 0.25  # cosine; of two texts that have nothing to do with each other it is below .15


class TextEmbeddings:
    """Unit vectors [rows, TEXT_DIM] of items by row."""

    def __init__(self, texts: TextModel | None) -> None:
        self._texts = texts
        self._vectors = np.zeros((FIRST_CAPACITY, TEXT_DIM), np.float16)
        self._known: Bool = np.zeros(FIRST_CAPACITY, bool)
        self._pending: dict[int, str] = {}
        self._queries: OrderedDict[str, F32] = OrderedDict()
        self._enabled = False

    def set_text(self, row: int, words: str) -> None:
        """What an item says about itself; read later."""
        if self._texts is not None:
            self._pending[row] = words

    def enable(self) -> None:
        """Somebody searches: from now on items are read."""
        self._enabled = True

    def due(self, most: int = TEXTS_PER_BATCH) -> Callable[[], None] | None:
        """What reads up to `most` items that queries ask for, some 8 ms each; it may run in another thread than everything else."""
        if self._texts is None or not self._enabled or not self._pending:
            return None
        rows = list(islice(self._pending, most))
        return partial(self._read, self._texts, rows, [self._pending.pop(row) for row in rows])

    def most_similar(self, query: str, count: int, eligible: Bool, blocked: I32) -> I64:
        """The rows most alike to `query`, best first: at most `count` of those `eligible` and not `blocked`, none that are hardly alike."""
        self.enable()
        size = min(len(self._known), len(eligible))
        wanted = self._known[:size] & eligible[:size]
        wanted[blocked[blocked < size]] = False
        rows = np.flatnonzero(wanted)
        similarity = self.similarity(query, rows)
        order = np.argsort(-similarity, kind="stable")[:count]
        return np.asarray(rows[order[similarity[order] >= MIN_SIMILARITY]], np.int64)

    def similarity(self, query: str, rows: I64) -> F32:
        """Cosine of `query` with each of `rows`; 0 where nothing was read."""
        if self._texts is None or not len(rows):
            return np.zeros(len(rows), np.float32)
        known = np.where(rows < len(self._known), rows, 0)
        return np.asarray(self._vectors[known].astype(np.float32) @ self._vector(query, self._texts), np.float32)

    def _read(self, texts: TextModel, rows: list[int], words: list[str]) -> None:
        vectors = texts.embed(words)
        size = max(rows) + 1
        self._vectors, self._known = grown_rows(self._vectors, size), grown(self._known, size, False)
        self._vectors[rows] = vectors
        self._known[rows] = True

    def _vector(self, query: str, texts: TextModel) -> F32:
        vector = self._queries.pop(query, None)
        if vector is None:
            vector = texts.embed([query])[0]
            if len(self._queries) >= QUERY_CACHE_SIZE:
                self._queries.popitem(last=False)
        self._queries[query] = vector
        return vector
