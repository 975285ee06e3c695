"""Embeddings of item texts and queries by a small language model (eddy.text), so that a query matches by meaning.

Items are embedded from the first query on, so that an application without search has no cost.
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
MIN_SIMILARITY = 0.25  # cosine; unrelated texts are below .15


class TextEmbeddings:
    """Unit vectors [rows, TEXT_DIM] of items by row, computed in the background."""

    def __init__(self, model: TextModel | None) -> None:
        self._model = model
        self._vectors = np.zeros((FIRST_CAPACITY, TEXT_DIM), np.float16)
        self._embedded: Bool = np.zeros(FIRST_CAPACITY, bool)
        self._pending: dict[int, str] = {}
        self._queries: OrderedDict[str, F32] = OrderedDict()
        self._enabled = False

    def set_text(self, row: int, text: str) -> None:
        """Set the text of an item, to be embedded later."""
        if self._model is not None:
            self._pending[row] = text

    def enable(self) -> None:
        """Start to embed items, because queries arrive."""
        self._enabled = True

    def due(self, limit: int = TEXTS_PER_BATCH) -> Callable[[], None] | None:
        """A function that embeds up to `limit` pending items, about 8 ms each, or None. It may run in another thread."""
        if self._model is None or not self._enabled or not self._pending:
            return None
        rows = list(islice(self._pending, limit))
        return partial(self._embed, self._model, rows, [self._pending.pop(row) for row in rows])

    def most_similar(self, query: str, count: int, eligible: Bool, blocked: I32) -> I64:
        """The rows most similar to `query`, best first: at most `count` `eligible`, unblocked rows of at least MIN_SIMILARITY."""
        self.enable()
        size = min(len(self._embedded), len(eligible))
        allowed = self._embedded[:size] & eligible[:size]
        allowed[blocked[blocked < size]] = False
        rows = np.flatnonzero(allowed)
        similarity = self.similarity(query, rows)
        order = np.argsort(-similarity, kind="stable")[:count]
        return np.asarray(rows[order[similarity[order] >= MIN_SIMILARITY]], np.int64)

    def similarity(self, query: str, rows: I64) -> F32:
        """Cosine of `query` with each of `rows`; 0 for a row that is not embedded."""
        if self._model is None or not len(rows):
            return np.zeros(len(rows), np.float32)
        embedded = np.where(rows < len(self._embedded), rows, 0)
        return np.asarray(self._vectors[embedded].astype(np.float32) @ self._vector(query, self._model), np.float32)

    def _embed(self, model: TextModel, rows: list[int], texts: list[str]) -> None:
        vectors = model.embed(texts)
        size = max(rows) + 1
        self._vectors, self._embedded = grown_rows(self._vectors, size), grown(self._embedded, size, False)
        self._vectors[rows] = vectors
        self._embedded[rows] = True

    def _vector(self, query: str, model: TextModel) -> F32:
        vector = self._queries.pop(query, None)
        if vector is None:
            vector = model.embed([query])[0]
            if len(self._queries) >= QUERY_CACHE_SIZE:
                self._queries.popitem(last=False)
        self._queries[query] = vector
        return vector
