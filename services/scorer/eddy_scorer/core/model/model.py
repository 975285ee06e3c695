"""The interface of a model that serves, whatever runs it."""

from typing import Protocol

from eddy.contract.model import Columns
from eddy_scorer.core.state.arrays import F32, I64
from eddy_scorer.core.state.users import UserHistories


class ServingModel(Protocol):
    """A release that serves: both graphs of eddy.contract.model. `version` is at least 1."""

    version: int
    columns: Columns  # the features it reads and the actions it predicts

    def encode(
        self, table: F32, bias: F32, histories: UserHistories, scenarios: I64, excluded: I64
    ) -> tuple[F32, F32, I64]:
        """Return users [B, DIM], top_scores [B, TOP_K] and top_rows [B, TOP_K]."""
        ...

    def rank(self, features: F32, scenarios: I64) -> tuple[F32, F32]:
        """Return scores [B, C] and predictions [B, C, actions of the release] for `features` [B, C, F] of the scorer."""
        ...
