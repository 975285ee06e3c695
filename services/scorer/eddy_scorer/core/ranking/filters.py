"""What must not be in a slate. Each filter names rows to block; which of them a scenario uses stands in scenarios.yaml.

The third filter, `unavailable`, is the catalogue's `eligible` matrix: it does not depend on the user.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from eddy_scorer.core.ranking.request import Request
from eddy_scorer.core.state.arrays import I32, I64, Bool
from eddy_scorer.core.state.catalogue import Catalogue, words_of
from eddy_scorer.core.state.text_embeddings import TextEmbeddings
from eddy_scorer.core.state.users import User

_NONE: I32 = np.zeros(0, np.int32)
NEAR = 50


class SeenFilter:
    """Items that the user acted on, ever."""

    name = "seen"

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def rows(self, _: Request, user: User) -> I32:
        return user.seen_rows(self._catalogue)


class ExcludedFilter:
    """Items that the request names."""

    name = "excluded"

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def rows(self, request: Request, _: User) -> I32:
        rows = {self._catalogue.find(item_id) for item_id in request.exclude}
        return np.array(sorted(rows - {0}), np.int32) if rows else _NONE


class QueryFilter:
    """Rows that a query leaves; all of them without a query, and where nothing matches.

    These are the rows that share most of its words, if that is a majority of them and there are enough rows for the slate. Where only a
    minority is shared, such as "and" and "the", those most alike in meaning are left, if there are enough; otherwise both kinds.
    """

    def __init__(self, catalogue: Catalogue, text_embeddings: TextEmbeddings) -> None:
        self._catalogue = catalogue
        self._text_embeddings = text_embeddings

    def kept(self, request: Request, eligible: Bool, blocked: I32) -> I64 | None:
        """The rows that are left of those that are `eligible` [capacity] and not among `blocked`; None where nothing is to be filtered."""
        if not request.query or request.candidates is not None:
            return None
        hidden = set(blocked.tolist())
        matches = {
            row: words
            for row, words in self._catalogue.matching(request.query).items()
            if eligible[row] and row not in hidden
        }
        most = max(matches.values(), default=0)
        best = [row for row, words in matches.items() if words == most]
        shared = 2 * most > len(words_of(request.query))
        if shared and len(best) >= request.limit:
            return np.array(best, np.int64)
        near = self._text_embeddings.near(request.query, max(NEAR, request.limit), eligible, blocked).tolist()
        if not shared and len(near) >= request.limit:
            return np.array(near, np.int64)
        kept = dict.fromkeys([*sorted(matches, key=lambda row: -matches[row]), *near])
        return np.array(list(kept), np.int64) if kept else None

    def named(self, query: str) -> I64:
        """The rows that have every word of a query: whoever types a title means that one."""
        words = len(words_of(query))
        return np.array([row for row, shared in self._catalogue.matching(query).items() if shared == words], np.int64)


class BlockedMatrix:
    """Scratch matrix [B, N] of what is blocked, clean between batches."""

    def __init__(self) -> None:
        self._scratch: Bool = np.zeros((1, 256), bool)

    @contextmanager
    def marked(self, blocked: Sequence[I32], kept: Sequence[I64 | None], size: int) -> Iterator[Bool]:
        """The matrix [B, size] with `blocked[b]` marked, and all but `kept[b]` where that is given; cleared at the end."""
        matrix = self._matrix(len(blocked), size)
        indices = np.repeat(np.arange(len(blocked)), [len(rows) for rows in blocked])
        rows = np.concatenate(blocked) if len(blocked) else _NONE
        for index, keep in enumerate(kept):
            if keep is not None:
                matrix[index] = True
                matrix[index, keep] = False
        matrix[indices, rows] = True
        try:
            yield matrix
        finally:
            matrix[indices, rows] = False
            for index, keep in enumerate(kept):
                if keep is not None:
                    matrix[index] = False

    def _matrix(self, requests: int, size: int) -> Bool:
        if requests > self._scratch.shape[0] or size > self._scratch.shape[1]:
            capacity = max(self._scratch.shape[1], 1 << (size - 1).bit_length())
            self._scratch = np.zeros((max(requests, self._scratch.shape[0]), capacity), bool)
        return self._scratch[:requests, :size]
