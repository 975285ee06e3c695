"""The report of a replay: its figures as JSON and as tables, and a plot of quality over the stream."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from rich.table import Table

MODEL = "model"
_LABELS = {MODEL: "model", "popularity": "popularity", "covisitation": "co-visitation"}


@dataclass(frozen=True, slots=True)
class LedgerReport:
    """Impressions of a replay by label; every impression has one label or is still open."""

    impressions: int
    positive: int
    negative: int
    open: int

    @property
    def unaccounted(self) -> int:
        """Impressions without a label that are not open; 0 unless the joiner has a defect, negative for surplus labels."""
        return self.impressions - self.positive - self.negative - self.open


class QualityReport(Protocol):
    """What the quality table and plot read. `quality` has an entry for the model and each baseline: `Score.as_dict`."""

    @property
    def dataset(self) -> str: ...

    @property
    def events(self) -> int: ...

    @property
    def quality(self) -> Mapping[str, Mapping[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class Report:
    """Figures of a replay. `quality` has an entry for the model and each baseline: `Score.as_dict`."""

    dataset: str
    events: int
    wall_seconds: float
    latencies_ms: Sequence[float]
    quality: Mapping[str, Mapping[str, Any]]
    ledger: LedgerReport
    examples: int
    releases: int
    embeddings_published: int
    event_to_recommendations_ms: Sequence[float]
    click_to_serving_seconds: Sequence[float]
    dead_letters: Mapping[str, int]

    @property
    def events_per_second(self) -> float:
        return self.events / self.wall_seconds if self.wall_seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """The layout of reports/demo.json. Percentiles of no values are null."""
        ledger = self.ledger
        return {
            "dataset": self.dataset,
            "events": self.events,
            "wall_seconds": round(self.wall_seconds, 3),
            "events_per_second": round(self.events_per_second, 2),
            "requests": {"count": len(self.latencies_ms), **_percentiles(self.latencies_ms, (50, 95, 99), "_ms")},
            "quality": {name: _rounded(scores) for name, scores in self.quality.items()},
            "ledger": {
                "impressions": ledger.impressions,
                "positive": ledger.positive,
                "negative": ledger.negative,
                "open": ledger.open,
                "unaccounted": ledger.unaccounted,
            },
            "training": {
                "examples": self.examples,
                "releases": self.releases,
                "embeddings_published": self.embeddings_published,
            },
            "freshness": {
                "event_to_recommendations_ms": _percentiles(self.event_to_recommendations_ms, (50, 95)),
                "click_to_serving_seconds": _percentiles(self.click_to_serving_seconds, (50, 95)),
            },
            "dead_letters": dict(self.dead_letters),
        }


def write_json(report: Report, path: Path) -> None:
    """Write the figures atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".json.partial")
    partial.write_text(json.dumps(report.as_dict(), indent=2) + "\n")
    partial.replace(path)


def write_plot(report: QualityReport, path: Path) -> None:
    """Plot NDCG@10 of the model and the baselines by tenth of the stream."""
    from matplotlib.figure import Figure  # takes a second to import: only a plot needs it

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    tenths = np.arange(1, 11) * 10
    for name, scores in report.quality.items():
        is_model = name == MODEL
        axes.plot(
            tenths,
            scores["ndcg_at_10_by_tenth"],
            marker="o",
            linewidth=2.5 if is_model else 1.5,
            linestyle="-" if is_model else "--",
            label=f"{_LABELS.get(name, name)} ({scores['ndcg_at_10']:.4f})",
        )
    axes.set_xlabel("share of the stream, %")
    axes.set_ylabel("NDCG@10 of the next item")
    axes.set_title(f"{report.dataset}: {report.events:,} events, each scored before it is learned")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def quality_table(report: QualityReport) -> Table:
    """NDCG@10 and HR@10 of the model and the baselines, for the whole stream and by tenth; at most 80 columns wide."""
    title = f"{report.dataset}: NDCG@10 of the next item, by tenth of the stream"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for column in ("", "NDCG@10", "HR@10", *(str(tenth) for tenth in range(1, 11))):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for name, scores in report.quality.items():
        figures = (scores["ndcg_at_10"], scores["hr_at_10"])
        tenths = [f"{value:.3f}".removeprefix("0") for value in scores["ndcg_at_10_by_tenth"]]
        style = "bold" if name == MODEL else ""
        table.add_row(_LABELS.get(name, name), *(f"{value:.4f}" for value in figures), *tenths, style=style)
    return table


def figures_table(report: Report) -> Table:
    """All other figures, one row per subject."""
    figures = report.as_dict()
    requests, freshness, ledger = figures["requests"], figures["freshness"], figures["ledger"]
    table = Table(
        show_header=False, title=f"{report.events:,} events in {report.wall_seconds:.0f} s", title_justify="left"
    )
    table.add_row("throughput", f"{report.events_per_second:.0f} events/s")
    table.add_row("requests", f"{requests['count']:,}; {_listed(requests, ' ms', '_ms')}")
    table.add_row("event -> recommendations", _listed(freshness["event_to_recommendations_ms"], " ms"))
    table.add_row("click -> serving", _listed(freshness["click_to_serving_seconds"], " s"))
    labels = " + ".join(f"{ledger[name]:,} {name}" for name in ("positive", "negative", "open"))
    table.add_row("ledger", f"{ledger['impressions']:,} impressions = {labels}, {ledger['unaccounted']} unaccounted")
    training = figures["training"]
    parts = (f"{training[name]:,} {label}" for name, label in _TRAINING.items())
    table.add_row("training", ", ".join(parts))
    letters = ", ".join(f"{count:,} {reason}" for reason, count in figures["dead_letters"].items())
    table.add_row("dead letters", letters or "none")
    return table


_TRAINING = {"examples": "examples", "releases": "releases", "embeddings_published": "item embeddings published"}


def _percentiles(values: Sequence[float], percents: Sequence[int], unit: str = "") -> dict[str, float | None]:
    if not len(values):
        return {f"p{percent}{unit}": None for percent in percents}
    percentiles = np.percentile(np.asarray(values), percents)
    return {f"p{percent}{unit}": round(float(value), 3) for percent, value in zip(percents, percentiles, strict=True)}


def _listed(percentiles: Mapping[str, float | None], unit: str, suffix: str = "") -> str:
    values = {name.removesuffix(suffix): value for name, value in percentiles.items() if name.startswith("p")}
    return ", ".join(f"{name} {'-' if value is None else f'{value:.1f}{unit}'}" for name, value in values.items())


def _rounded(scores: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "ndcg_at_10": round(scores["ndcg_at_10"], 5),
        "hr_at_10": round(scores["hr_at_10"], 5),
        "ndcg_at_10_by_tenth": [round(value, 5) for value in scores["ndcg_at_10_by_tenth"]],
    }
