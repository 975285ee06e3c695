"""What the stages of one batch hand to each other."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from eddy_scorer.core.ranking.request import Request
from eddy_scorer.core.state.arrays import F32, I64, Bool
from eddy_scorer.core.state.users import Histories, User


@dataclass(frozen=True, slots=True)
class Batch:
    """B requests with what is known of their users.

    `scenarios` [B] are ids, `at` [B] event times in milliseconds, `blocked` [B, N] what must not be in the list (a
    scratch matrix, valid while the batch runs), `kept` the only rows that the query leaves, where there is one.
    """

    requests: Sequence[Request]
    users: Sequence[User]
    histories: Histories
    scenarios: I64
    at: I64
    blocked: Bool
    pool_sizes: list[int]
    kept: list[I64 | None]

    def __len__(self) -> int:
        return len(self.requests)

    @property
    def places(self) -> I64:
        """0..B-1 as a column, to index matrices [B, N] by rows [B, C]."""
        return np.arange(len(self.requests))[:, None]


@dataclass(frozen=True, slots=True)
class Candidates:
    """The considered candidates, best-placed source first; all matrices are [B, C].

    Request b considers the first `counts[b]` columns (`valid`). Row 0 there is an item that nothing but the request names: its id is
    `unknown[b][column]`. `sources` are indices into SOURCES, `filled` marks popular items that no source brought, `brought_by[source]`
    what each source brought. `draws[b]` are columns in the order in which the random slot takes them; the columns from `merged[b]` on
    are there for the draw alone; `coins[b]`, uniform in [0, 1), decides whether this list takes them.
    """

    rows: I64
    valid: Bool
    counts: list[int]
    sources: I64
    filled: Bool
    brought_by: dict[str, Bool]
    draws: list[list[int]]
    coins: list[float]
    merged: list[int]
    unknown: dict[int, dict[int, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Encoded:
    """What the encoder says of a batch: `users` [B, DIM], `top_rows` [B, TOP_K or more] best first, `top_real` where that is no padding."""

    users: F32
    top_rows: I64
    top_real: Bool
