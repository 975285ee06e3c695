"""Filters: each returns the rows that must not be in a slate. scenarios.yaml lists the filters of a scenario.

The filter `unavailable` is the catalogue's `eligible` matrix, because it does not depend on the user. Rejected items are a filter of every
scenario with `rejection_days`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from eddy.contract.scenarios import Scenarios
from eddy.words import query_words
from eddy_scorer.core.ranking.request import Request
from eddy_scorer.core.state.arrays import I32, I64, Bool
from eddy_scorer.core.state.catalogue import Catalogue
from eddy_scorer.core.state.text_embeddings import TextEmbeddings
from eddy_scorer.core.state.users import User

_NONE: I32 = np.zeros(0, np.int32)
_DAY_MS = 86_400_000
SIMILAR_ITEMS = 50


class SeenFilter:
    """Blocks items that the user has ever interacted with."""

    name = "seen"

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def rows(self, _: Request, user: User) -> I32:
        return user.seen_rows(self._catalogue)


class RejectedFilter:
    """Blocks items that the user has rejected within the scenario's `rejection_days`, and not interacted with since."""

    def __init__(self, catalogue: Catalogue, scenarios: Scenarios) -> None:
        self._catalogue = catalogue
        self._scenarios = scenarios

    def rows(self, request: Request, user: User) -> I32:
        days = self._scenarios[request.scenario].rejection_days
        if not days or not user.rejected:
            return _NONE
        return user.rejected_rows(self._catalogue, request.requested_at - round(days * _DAY_MS))


class ExcludedFilter:
    """Blocks items that the request excludes."""

    name = "excluded"

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def rows(self, request: Request, _: User) -> I32:
        rows = {self._catalogue.find(item_id) for item_id in request.exclude}
        return np.array(sorted(rows - {0}), np.int32) if rows else _NONE


class QueryFilter:
    """Reduces the catalogue to the rows that match a query.

    These are the rows that share most of its words, if that is a majority of its words and they fill the slate. If only a minority is
    shared, such as "and" and "the", they are the rows most similar in meaning, if those fill the slate. Otherwise they are both.
    """

    def __init__(self, catalogue: Catalogue, text_embeddings: TextEmbeddings) -> None:
        self._catalogue = catalogue
        self._text_embeddings = text_embeddings

    def matches_of(self, request: Request, eligible: Bool, blocked: I32) -> I64 | None:
        """The matching rows that are `eligible` [capacity] and not in `blocked`; None without a query and for a query without a match."""
        if not request.query or request.candidates is not None:
            return None
        blocked_rows = set(blocked.tolist())
        matches = {
            row: words
            for row, words in self._catalogue.word_matches(request.query).items()
            if eligible[row] and row not in blocked_rows
        }
        most = max(matches.values(), default=0)
        best = [row for row, words in matches.items() if words == most]
        shared = 2 * most > len(query_words(request.query))
        if shared and len(best) >= request.limit:
            return np.array(best, np.int64)
        similar = self._text_embeddings.most_similar(
            request.query, max(SIMILAR_ITEMS, request.limit), eligible, blocked
        ).tolist()
        if not shared and len(similar) >= request.limit:
            return np.array(similar, np.int64)
        both = dict.fromkeys([*sorted(matches, key=lambda row: -matches[row]), *similar])
        return np.array(list(both), np.int64) if both else None

    def full_matches(self, query: str) -> I64:
        """The rows that have every word of a query, as when a user types a title."""
        words = len(query_words(query))
        return np.array(
            [row for row, shared in self._catalogue.word_matches(query).items() if shared == words], np.int64
        )


class BlockedMatrix:
    """Scratch matrix [B, N] of blocked rows, all False between batches."""

    def __init__(self) -> None:
        self._scratch: Bool = np.zeros((1, 256), bool)

    @contextmanager
    def mark(self, blocked: Sequence[I32], query_rows: Sequence[I64 | None], size: int) -> Iterator[Bool]:
        """The matrix [B, size] with `blocked[b]` True, and everything outside `query_rows[b]` unless that is None; cleared at the end."""
        matrix = self._matrix(len(blocked), size)
        indices = np.repeat(np.arange(len(blocked)), [len(rows) for rows in blocked])
        rows = np.concatenate(blocked) if len(blocked) else _NONE
        for index, matches in enumerate(query_rows):
            if matches is not None:
                matrix[index] = True
                matrix[index, matches] = False
        matrix[indices, rows] = True
        try:
            yield matrix
        finally:
            matrix[indices, rows] = False
            for index, matches in enumerate(query_rows):
                if matches is not None:
                    matrix[index] = False

    def _matrix(self, requests: int, size: int) -> Bool:
        if requests > self._scratch.shape[0] or size > self._scratch.shape[1]:
            capacity = max(self._scratch.shape[1], 1 << (size - 1).bit_length())
            self._scratch = np.zeros((max(requests, self._scratch.shape[0]), capacity), bool)
        return self._scratch[:requests, :size]
