"""What a candidate source is."""

from abc import ABC, abstractmethod
from typing import ClassVar

from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.state.arrays import I64


class BaseSource(ABC):
    """A named origin of candidates; `name` is that of its line in `eddy.contract.sources`, which says the rest."""

    name: ClassVar[str]


class MergedSource(BaseSource):
    """A source that is interleaved with others by quota. It has no state: what it reads is in the context."""

    @abstractmethod
    def find(self, context: BatchContext, quota: int) -> I64:
        """Catalogue rows [B, Q] for B requests, best first, padded with 0; Q is at most `quota`.

        Rows are eligible in the request's scenario and not blocked. `quota` is the largest of any scenario: the merge cuts each
        request at its own. What it raises is the executor's to handle.
        """


class ExplainedSource(MergedSource):
    """A source whose reason names an item of the history: `<item_reason>:<item id>`."""

    @abstractmethod
    def causes(self, context: BatchContext, last: I64, rows: I64) -> I64:
        """For each of R recommended `rows` [R], the row of the one of the user's last items [R, L] that it is for; 0 for none."""
