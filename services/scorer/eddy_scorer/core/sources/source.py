"""The interface of a candidate source."""

from abc import ABC, abstractmethod
from typing import ClassVar

from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.state.arrays import I64


class BaseSource(ABC):
    """A named origin of candidates. `name` refers to its line in `eddy.contract.sources`, which declares its properties."""

    name: ClassVar[str]


class MergedSource(BaseSource):
    """A source that is interleaved with others by quota. It is stateless and reads the context alone."""

    @abstractmethod
    def find(self, context: BatchContext, quota: int) -> I64:
        """Return catalogue rows [B, Q] for B requests, best first, padded with 0; Q is at most `quota`.

        Rows must be eligible in the request's scenario and not blocked. `quota` is the largest of any scenario: the merge applies that of
        the request's scenario. The executor handles exceptions.
        """


class ExplainedSource(MergedSource):
    """A source whose reason can name an item of the history: `<item_reason>:<item id>`."""

    @abstractmethod
    def causes(self, context: BatchContext, last: I64, rows: I64) -> I64:
        """For R recommended `rows` [R], return the one of the user's last items `last` [R, L] that caused each, or 0 for none."""
