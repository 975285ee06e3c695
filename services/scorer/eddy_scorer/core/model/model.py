"""What the recommender asks of a model, whatever runs it."""

from typing import Protocol

from eddy.contract.model import Columns
from eddy_scorer.core.state.arrays import F32, I64
from eddy_scorer.core.state.users import UserHistories


class ServingModel(Protocol):
    """A release that serves: both graphs of eddy.contract.model. `version` is 1 or more."""

    version: int
    columns: Columns  # what it reads and predicts

    def encode(
        self, table: F32, bias: F32, histories: UserHistories, scenarios: I64, excluded: I64
    ) -> tuple[F32, F32, I64]:
        """users [B, DIM], top_scores [B, TOP_K], top_rows [B, TOP_K]."""
        ...

    def rank(self, features: F32, scenarios: I64) -> tuple[F32, F32]:
        """scores [B, C], predictions [B, C, actions of the release]; `features` [B, C, F] are those that the scorer computes."""
        ...
