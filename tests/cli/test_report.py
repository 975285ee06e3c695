"""The report of a replay: its layout, unaccounted impressions, tables and plot."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from eddy_cli.report import LedgerReport, Report, figures_table, quality_table, write_json, write_plot

SCORES = {"ndcg_at_10": 0.2, "hr_at_10": 0.3, "ndcg_at_10_by_tenth": [0.1 + 0.01 * tenth for tenth in range(10)]}
SCORES_LAYOUT = {"ndcg_at_10": float, "hr_at_10": float, "ndcg_at_10_by_tenth": list}
LAYOUT = {
    "dataset": str,
    "events": int,
    "wall_seconds": float,
    "events_per_second": float,
    "requests": {"count": int, "p50_ms": float, "p95_ms": float, "p99_ms": float},
    "quality": {"model": SCORES_LAYOUT, "popularity": SCORES_LAYOUT, "covisitation": SCORES_LAYOUT},
    "ledger": {"impressions": int, "positive": int, "negative": int, "open": int, "unaccounted": int},
    "training": {"examples": int, "releases": int, "embeddings_published": int},
    "freshness": {
        "event_to_recommendations_ms": {"p50": float, "p95": float},
        "click_to_serving_seconds": {"p50": float, "p95": float},
    },
    "dead_letters": {"unknown_action": int},
}


def report(**changes: Any) -> Report:
    figures: dict[str, Any] = {
        "dataset": "tiny",
        "events": 1000,
        "wall_seconds": 4.0,
        "latencies_ms": [1.0, 2.0, 3.0],
        "quality": {"model": SCORES, "popularity": SCORES, "covisitation": SCORES},
        "ledger": LedgerReport(impressions=100, positive=20, negative=70, open=10),
        "examples": 5,
        "releases": 6,
        "embeddings_published": 7,
        "event_to_recommendations_ms": [10.0, 20.0],
        "click_to_serving_seconds": [1.0],
        "dead_letters": {"unknown_action": 1},
    }
    return Report(**{**figures, **changes})


def shape(value: Any) -> Any:
    return {name: shape(field) for name, field in value.items()} if isinstance(value, dict) else type(value)


def test_json_has_the_documented_layout(tmp_path: Path) -> None:
    path = tmp_path / "reports" / "demo.json"
    write_json(report(), path)
    figures = json.loads(path.read_text())
    assert shape(figures) == LAYOUT
    assert list(figures) == list(LAYOUT)
    assert figures["events_per_second"] == 250
    assert figures["requests"] == {"count": 3, "p50_ms": 2.0, "p95_ms": 2.9, "p99_ms": 2.98}
    assert [entry.name for entry in path.parent.iterdir()] == ["demo.json"]


@pytest.mark.parametrize(("negative", "unaccounted"), [(70, 0), (69, 1), (71, -1)])
def test_missing_and_surplus_labels_are_unaccounted(negative: int, unaccounted: int) -> None:
    ledger = LedgerReport(impressions=100, positive=20, negative=negative, open=10)
    assert report(ledger=ledger).as_dict()["ledger"]["unaccounted"] == unaccounted


def test_percentiles_of_no_values_are_null() -> None:
    figures = report(click_to_serving_seconds=[], latencies_ms=[]).as_dict()
    assert figures["freshness"]["click_to_serving_seconds"] == {"p50": None, "p95": None}
    assert figures["requests"] == {"count": 0, "p50_ms": None, "p95_ms": None, "p99_ms": None}


def test_tables_show_model_and_baselines() -> None:
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(quality_table(report()), figures_table(report(click_to_serving_seconds=[])))
    text = console.export_text()
    for expected in ("co-visitation", "0.2000", "250 events/s", "0 unaccounted", "1 unknown_action", "p50 -"):
        assert expected in text


@pytest.mark.slow
def test_plot_is_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "demo.png"
    write_plot(report(), path)
    assert path.read_bytes().startswith(b"\x89PNG")
