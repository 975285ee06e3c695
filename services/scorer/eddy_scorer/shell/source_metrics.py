"""Metrics and log events of candidate sources."""

from contextlib import AbstractContextManager

import structlog

from eddy.contract.sources import CANDIDATE_SOURCES
from eddy.metrics import SOURCE_FAILURES, SOURCE_SECONDS

log = structlog.get_logger()


class SourceMetrics:
    """A SourceMonitor that times every source, and counts and logs failures. The batch continues without the failed source."""

    def __init__(self) -> None:
        self._seconds = {
            source.name: SOURCE_SECONDS.labels(source.name) for source in CANDIDATE_SOURCES if source.merged
        }

    def timed(self, source: str) -> AbstractContextManager[object]:
        return self._seconds[source].time()

    def failed(self, source: str, error: Exception) -> None:
        SOURCE_FAILURES.labels(source).inc()
        log.error("source_failed", source=source, exc_info=error)
