"""Embeddings of item texts and queries by a small language model (eddy.text), so that a query matches by meaning.

Items are embedded from the first query on, so that an application without search has no cost. A text that has not changed is not embedded
again.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from eddy.text import TEXT_DIM, TextModel
from eddy.text_queue import NO_TEXT, TextQueue, text_digest
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
        self._digests: NDArray[np.uint64] = np.zeros(FIRST_CAPACITY, np.uint64)  # of the embedded texts
        self._pending: TextQueue[int] = TextQueue()
        self._queries: OrderedDict[str, F32] = OrderedDict()
        self._enabled = False

    def set_text(self, row: int, text: str) -> None:
        """Set the text of an item, to be embedded later if it has changed."""
        if self._model is not None:
            self._pending.put(row, text, int(self._digests[row]) if row < len(self._digests) else NO_TEXT)

    def forget(self, rows: I64) -> None:
        """Drop the texts and embeddings of rows."""
        for row in rows.tolist():
            self._pending.discard(row)
        for column in (self._vectors, self._embedded, self._digests):
            column[rows[rows < len(column)]] = 0

    @property
    def pending(self) -> int:
        """Number of items whose texts are to be embedded."""
        return len(self._pending)

    def enable(self) -> None:
        """Start to embed items, because queries arrive."""
        self._enabled = True

    def due(self, limit: int = TEXTS_PER_BATCH) -> Callable[[], None] | None:
        """A function that embeds up to `limit` pending items, about 8 ms each, or None. It may run in another thread."""
        if self._model is None or not self._enabled or not self._pending:
            return None
        taken = self._pending.take(limit)
        rows, texts = [row for row, _ in taken], [text for _, text in taken]
        # Before they are embedded, perhaps in another thread: a text that changes meanwhile is queued again.
        self._digests = grown(self._digests, max(rows, default=0) + 1)
        self._digests[rows] = [text_digest(text) for text in texts]
        return partial(self._embed, self._model, rows, texts)

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
