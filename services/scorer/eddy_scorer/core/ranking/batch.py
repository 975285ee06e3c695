"""The values that the stages of one batch pass on."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from eddy_scorer.core.ranking.request import Request
from eddy_scorer.core.state.arrays import F32, I64, Bool
from eddy_scorer.core.state.users import User, UserHistories


@dataclass(frozen=True, slots=True)
class RequestBatch:
    """B requests with the state of their users.

    `scenarios` [B] are ids, `requested_at` [B] event times in milliseconds. `blocked` [B, N] marks the rows that must not be in the slate
    (a scratch matrix, valid while the batch runs); `excluded` [B, S] lists the same rows, padded with PADDING_ROW. `query_rows` are the
    rows that match a request's query, None for a request whose candidates no query limits. `pool_sizes` count the items that may be in the
    slate.
    """

    requests: Sequence[Request]
    users: Sequence[User]
    histories: UserHistories
    scenarios: I64
    requested_at: I64
    blocked: Bool
    excluded: I64
    pool_sizes: list[int]
    query_rows: list[I64 | None]

    def __len__(self) -> int:
        return len(self.requests)

    @property
    def indices(self) -> I64:
        """0..B-1 as a column, to index matrices [B, N] by catalogue rows [B, C]."""
        return np.arange(len(self.requests))[:, None]


@dataclass(frozen=True, slots=True)
class CandidateBatch:
    """The candidates of B requests, in merged order; all matrices are [B, C].

    Request b has the first `counts[b]` columns (`valid`); the first `merged_counts[b]` of them are eligible by score, the others for an
    exploration slot alone. Row 0 in a valid column is an item that the scorer does not know: its id is `unknown[b][column]`. `sources` are
    indices into SOURCES. `filled` marks popular items that no source proposed, and `proposed_by[source]` those that a flagged source
    proposed. `sampled[b]` are columns in the order in which exploration slots take them; `uniforms[b]`, random in [0, 1), decides whether
    the slate explores.
    """

    rows: I64
    valid: Bool
    counts: list[int]
    sources: I64
    filled: Bool
    proposed_by: dict[str, Bool]
    sampled: list[list[int]]
    uniforms: list[float]
    merged_counts: list[int]
    unknown: dict[int, dict[int, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EncoderOutput:
    """The encoder's output for a batch: `users` [B, DIM] and `top_rows` [B, TOP_K or more], best first.

    `top_valid` is False where a top row is padding.
    """

    users: F32
    top_rows: I64
    top_valid: Bool
