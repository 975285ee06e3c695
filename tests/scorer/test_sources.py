"""The registry of candidate sources, and the executor that owns their timing and failures."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import pytest
from prometheus_client import REGISTRY as METRICS
from structlog.testing import capture_logs

from eddy.contract.codec import Record
from eddy.contract.sources import CANDIDATE_SOURCES, SOURCES, CandidateSource
from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.ranking.executor import SourceMonitor
from eddy_scorer.core.ranking.recommender import Recommender
from eddy_scorer.core.ranking.source_registry import REGISTRY, merged_sources, registry_of
from eddy_scorer.core.sources.covisited import CovisitedSource
from eddy_scorer.core.sources.given import GivenSource
from eddy_scorer.core.sources.source import MergedSource
from eddy_scorer.core.sources.trending import TrendingSource
from eddy_scorer.core.state.arrays import I64
from eddy_scorer.shell.source_metrics import SourceMetrics
from tests.scorer.factories import item_features, item_ids_of, recommend, request, scenarios, user_features


class _Monitor:
    """Records measured sources and failures."""

    def __init__(self) -> None:
        self.timed_sources: list[str] = []
        self.failures: list[tuple[str, str]] = []

    @contextmanager
    def _timed(self, source: str) -> Iterator[None]:
        self.timed_sources.append(source)
        yield

    def timed(self, source: str) -> AbstractContextManager[object]:
        return self._timed(source)

    def failed(self, source: str, error: Exception) -> None:
        self.failures.append((source, str(error)))


def _engine(monitor: SourceMonitor | None) -> Recommender:
    engine = Recommender(scenarios(), np.random.default_rng(0), monitor=monitor)
    for number in range(1, 30):
        engine.apply_item_features(item_features(f"m{number}", {"m30": float(number)}, acted=float(number)))
    engine.apply_user_features(user_features("u", ["m30"]))
    return engine


def _first_sources(record: Record) -> list[str]:
    return [entry["source"] for entry in record["items"]]


def _break(monkeypatch: pytest.MonkeyPatch, method: str = "find") -> None:
    def broken(*_: object) -> I64:
        raise RuntimeError("broken source")

    monkeypatch.setattr(CovisitedSource, method, broken)


def test_registry_has_the_sources_of_the_contract() -> None:
    assert set(REGISTRY) == set(SOURCES)
    assert [source.name for source in merged_sources()] == [each.name for each in CANDIDATE_SOURCES if each.merged]


def test_registry_names_differences_from_the_contract() -> None:
    trending = CandidateSource("trending", "trending", quota=10)
    with pytest.raises(ValueError, match=r"defines \['trending'\] of CANDIDATE_SOURCES"):
        registry_of([], [trending])
    with pytest.raises(ValueError, match=r"does not list \['trending'\]"):
        registry_of([TrendingSource], [])
    with pytest.raises(ValueError, match="'given' has merged=True"):
        registry_of([GivenSource], [CandidateSource("given", "")])
    with pytest.raises(ValueError, match="'trending': define exactly one class"):
        registry_of([TrendingSource, type("Again", (TrendingSource,), {})], [trending])
    with pytest.raises(ValueError, match="'unfinished': define exactly one class"):
        registry_of([type("Unfinished", (MergedSource,), {"name": "unfinished"})], [])


def test_every_merged_source_is_timed_once_a_batch() -> None:
    monitor = _Monitor()
    recommend(_engine(monitor), request("u"), request("v"))
    assert monitor.timed_sources == [source.name for source in merged_sources()]


def test_source_that_fails_is_reported_and_the_others_fill_its_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = _Monitor()
    engine = _engine(monitor)
    (whole,) = recommend(engine, request("u", limit=8))
    _break(monkeypatch)
    (rest,) = recommend(engine, request("u", limit=8))
    assert "covisited" in _first_sources(whole)
    assert len(item_ids_of(rest)) == 8
    assert "covisited" not in _first_sources(rest)
    assert monitor.failures == [("covisited", "broken source")]


def test_source_that_returns_another_shape_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_wide(_: object, context: BatchContext, quota: int) -> I64:
        return np.ones((len(context.batch), quota + 1), np.int64)

    monkeypatch.setattr(CovisitedSource, "find", too_wide)
    monitor = _Monitor()
    (record,) = recommend(_engine(monitor), request("u"))
    assert len(item_ids_of(record)) == 5
    assert monitor.failures == [("covisited", "a source must return int64 rows [1, at most 30], not int64 (1, 31)")]


def test_reason_without_a_cause_is_the_source_s_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    _break(monkeypatch, "causes")
    monitor = _Monitor()
    (record,) = recommend(_engine(monitor), request("u"))
    reasons = {entry["reason"] for entry in record["items"] if entry["source"] == "covisited"}
    assert reasons == {"covisited"}
    assert monitor.failures == [("covisited", "broken source")]


def test_evaluation_fails_when_a_source_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    _break(monkeypatch)
    with pytest.raises(RuntimeError, match="broken source"):
        recommend(_engine(None), request("u"))


def test_service_counts_and_logs_a_source_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def failures() -> float:
        return METRICS.get_sample_value("eddy_scorer_source_failures_total", {"source": "covisited"}) or 0.0

    _break(monkeypatch)
    before = failures()
    with capture_logs() as logs:
        recommend(_engine(SourceMetrics()), request("u"))
    assert failures() == before + 1
    assert [(log["event"], log["source"], str(log["exc_info"])) for log in logs] == [
        ("source_failed", "covisited", "broken source")
    ]
    assert METRICS.get_sample_value("eddy_scorer_source_seconds_count", {"source": "covisited"})
