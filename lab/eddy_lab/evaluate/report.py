"""The report of a benchmark: its figures next to published ones as JSON, as tables and as a plot."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from eddy_lab.evaluate.result import BY_TENTH, MODEL, BenchmarkResult, Figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class BenchmarkReport:
    """A result, and how to reproduce it. `seconds` is wall-clock time."""

    benchmark: str
    result: BenchmarkResult
    seconds: float
    seed: int
    command: str

    def as_dict(self) -> dict[str, Any]:
        """Content of reports/<benchmark>-<data set>.json. Data, seed and code determine everything but times."""
        result = self.result
        return {
            "benchmark": self.benchmark,
            "dataset": result.dataset,
            "events": result.events,
            "seconds": round(self.seconds, 1),
            "command": self.command,
            "seed": self.seed,
            "methods": {name: _rounded(figures) for name, figures in result.methods.items()},
            "published": {name: dict(figures) for name, figures in result.published.items()},
            **({"details": dict(result.details)} if result.details else {}),
        }

    def write(self, folder: Path) -> list[Path]:
        """Write `<benchmark>-<data set>.json` (atomically) and `.png`; returns their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.benchmark}-{self.result.dataset}.json"
        partial = path.with_suffix(".json.partial")
        partial.write_text(json.dumps(self.as_dict(), indent=2) + "\n")
        partial.replace(path)
        plot = path.with_suffix(".png")
        _plot(self).savefig(plot, dpi=130)
        return [path, plot]

    def tables(self) -> list[Table]:
        """All methods and published figures by metric and, if the result has them, one metric by tenth. Fits into 100 columns."""
        result = self.result
        table = Table(title=f"{self.benchmark}, {result.dataset}", **_LOOK)
        table.add_column("", no_wrap=True)
        for metric in result.metrics:
            table.add_column(metric, justify="right", no_wrap=True)
        for name, figures in (*result.methods.items(), *result.published.items()):
            style = "bold" if name == MODEL else "" if name in result.methods else "dim"
            table.add_row(name, *(_number(figures.get(metric)) for metric in result.metrics), style=style)
        by_tenth = _first_by_tenth(result)
        return [table] if by_tenth is None else [table, _tenths(result, by_tenth)]


_LOOK: dict[str, Any] = {
    "title_justify": "left",
    "box": None,
    "padding": (0, 1, 0, 0),
    "pad_edge": False,
}


def _tenths(result: BenchmarkResult, metric: str) -> Table:
    table = Table(title=f"{metric.removesuffix(BY_TENTH)} by tenth of the stream", **_LOOK)
    for column in ("", *(str(tenth) for tenth in range(1, 11))):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for name, figures in result.methods.items():
        values = (f"{value:.3f}".removeprefix("0") for value in figures[metric])
        table.add_row(name, *values, style="bold" if name == MODEL else "")
    return table


def _plot(report: BenchmarkReport) -> "Figure":
    from matplotlib.figure import Figure  # takes a second to import: only a plot needs it

    result = report.result
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    by_tenth = _first_by_tenth(result)
    if by_tenth is not None:
        for name, figures in result.methods.items():
            style, width = ("-", 2.5) if name == MODEL else ("--", 1.5)
            axes.plot(
                np.arange(1, 11) * 10, figures[by_tenth], marker="o", label=name, linestyle=style, linewidth=width
            )
        axes.set_xlabel("share of the stream, %")
        axes.set_ylabel(by_tenth.removesuffix(BY_TENTH))
        axes.set_ylim(bottom=0)
        axes.legend()
    else:
        metric = result.metrics[0]
        rows = {**result.methods, **result.published}
        values = {name: float(figures[metric]) for name, figures in rows.items() if metric in figures}
        colours = ["tab:blue" if name in result.methods else "tab:grey" for name in values]
        axes.barh(list(values)[::-1], list(values.values())[::-1], color=colours[::-1])
        axes.set_xlabel(f"{metric} (grey: published or measured earlier)")
        axes.set_xlim(*_limits(list(values.values())))
    axes.set_title(f"{report.benchmark}, {result.dataset}: {result.events:,} events")
    axes.grid(alpha=0.3)
    return figure


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """Limits of the axis that keep the bars distinguishable."""
    margin = 0.3 * (max(values) - min(values)) or 0.1 * max(values)
    return max(0.0, min(values) - margin), max(values) + margin / 3


def _first_by_tenth(result: BenchmarkResult) -> str | None:
    names = (name for figures in result.methods.values() for name in figures if name.endswith(BY_TENTH))
    return next(names, None)


def _rounded(figures: Figures) -> dict[str, Any]:
    return {
        name: [round(number, 6) for number in value]
        if isinstance(value, list)
        else round(value, 6)
        if isinstance(value, float)
        else value
        for name, value in figures.items()
    }


def _number(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
