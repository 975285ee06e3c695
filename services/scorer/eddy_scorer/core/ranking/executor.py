"""Runs the candidate sources of a batch, and owns their timing and failures."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import numpy as np

from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.sources.source import ExplainedSource, MergedSource
from eddy_scorer.core.state.arrays import I64


class SourceMonitor(Protocol):
    """Measures sources and decides how a failure is handled."""

    def timed(self, source: str) -> AbstractContextManager[object]:
        """Measure the time spent in the `with` block."""
        ...

    def failed(self, source: str, error: Exception) -> None:
        """Handle an `error` that a source raised: raise it to fail the batch, or return to continue without that source."""
        ...


class StrictMonitor:
    """Fails the batch when a source fails, and measures nothing. For evaluation, where a missing source would distort the figures."""

    def timed(self, _: str) -> AbstractContextManager[object]:
        return nullcontext()

    def failed(self, _: str, error: Exception) -> None:
        raise error


class SourceExecutor:
    """Runs the sources one after the other.

    A source that raises, or returns something else than rows [B, Q], is reported to `monitor`. If the monitor returns, the batch continues
    without candidates of that source, and other sources and popular items take their positions.
    """

    def __init__(self, sources: Sequence[MergedSource], monitor: SourceMonitor) -> None:
        self._sources = {source.name: source for source in sources}
        self._monitor = monitor
        self.names = tuple(self._sources)
        self.explained = frozenset(source.name for source in sources if isinstance(source, ExplainedSource))

    def find(self, context: BatchContext, quotas: Mapping[str, int]) -> dict[str, I64]:
        """Rows [B, Q] that each source proposes; Q is at most its quota."""
        return {name: self._find(source, context, quotas[name]) for name, source in self._sources.items()}

    def causes(self, name: str, context: BatchContext, last: I64, rows: I64) -> I64:
        """`ExplainedSource.causes` of a source in `explained`; all 0 where it fails."""
        source = self._sources[name]
        assert isinstance(source, ExplainedSource)
        try:
            return source.causes(context, last, rows)
        except Exception as error:  # noqa: BLE001  # the boundary of sources: the monitor counts, logs and decides
            self._monitor.failed(name, error)
            return np.zeros(len(rows), np.int64)

    def _find(self, source: MergedSource, context: BatchContext, quota: int) -> I64:
        try:
            with self._monitor.timed(source.name):
                return _checked(source.find(context, quota), len(context.batch), quota)
        except Exception as error:  # noqa: BLE001  # the boundary of sources: the monitor counts, logs and decides
            self._monitor.failed(source.name, error)
            return np.zeros((len(context.batch), 0), np.int64)


def _checked(rows: I64, requests: int, quota: int) -> I64:
    if rows.ndim != 2 or rows.dtype != np.int64 or len(rows) != requests or rows.shape[1] > quota:
        raise ValueError(
            f"a source must return int64 rows [{requests}, at most {quota}], not {rows.dtype} {rows.shape}"
        )
    return rows
