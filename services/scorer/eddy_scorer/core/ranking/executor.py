"""Runs the candidate sources of a batch: the one place that owns their timing and their failures."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import numpy as np

from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.sources.source import ExplainedSource, MergedSource
from eddy_scorer.core.state.arrays import I64


class SourceMonitor(Protocol):
    """Measures sources and decides what a failure means."""

    def timed(self, source: str) -> AbstractContextManager[object]:
        """Measure what the source does within."""
        ...

    def failed(self, source: str, error: Exception) -> None:
        """A source raised `error`: raise it to fail the batch, or return to go on without that source."""
        ...


class StrictMonitor:
    """Measures nothing; a source that fails, fails the batch. For evaluation, whose figures must not lack a source unseen."""

    def timed(self, _: str) -> AbstractContextManager[object]:
        return nullcontext()

    def failed(self, _: str, error: Exception) -> None:
        raise error


class SourceExecutor:
    """Asks each source for its candidates, one after the other.

    A source that raises, or that does not answer [B, Q] rows as asked, is reported to `watch`. Where that returns, the source brings
    nothing to this batch and the others, then popular items, take its positions: a slate without one source is worth more than none.
    """

    def __init__(self, sources: Sequence[MergedSource], watch: SourceMonitor) -> None:
        self._sources = {source.name: source for source in sources}
        self._watch = watch
        self.names = tuple(self._sources)
        self.explained = frozenset(source.name for source in sources if isinstance(source, ExplainedSource))

    def find(self, context: BatchContext, quotas: Mapping[str, int]) -> dict[str, I64]:
        """Rows [B, Q] that each source brings, Q at most its quota."""
        return {name: self._find(source, context, quotas[name]) for name, source in self._sources.items()}

    def causes(self, name: str, context: BatchContext, last: I64, rows: I64) -> I64:
        """`ExplainedSource.causes` of a source in `explained`; all 0 where it fails."""
        source = self._sources[name]
        assert isinstance(source, ExplainedSource)
        try:
            return source.causes(context, last, rows)
        except Exception as error:  # noqa: BLE001  # the boundary of sources: the watch counts, logs and decides
            self._watch.failed(name, error)
            return np.zeros(len(rows), np.int64)

    def _find(self, source: MergedSource, context: BatchContext, quota: int) -> I64:
        try:
            with self._watch.timed(source.name):
                return _checked(source.find(context, quota), len(context.batch), quota)
        except Exception as error:  # noqa: BLE001  # the boundary of sources: the watch counts, logs and decides
            self._watch.failed(source.name, error)
            return np.zeros((len(context.batch), 0), np.int64)


def _checked(rows: I64, requests: int, quota: int) -> I64:
    if rows.ndim != 2 or rows.dtype != np.int64 or len(rows) != requests or rows.shape[1] > quota:
        raise ValueError(f"a source answers int64 rows [{requests}, {quota} or less], not {rows.dtype} {rows.shape}")
    return rows
