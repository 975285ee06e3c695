"""What a protocol found: figures of each method beside published ones, as JSON, as a table and as a plot."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

MODEL = "model"
BY_TENTH = "_by_tenth"
Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """`methods[name][metric]` is a number, or a list of ten for a metric whose name ends in `_by_tenth`.

    `anchors[source][metric]` are published figures, or such that were measured elsewhere; `also` is whatever else is worth keeping.
    """

    protocol: str
    dataset: str
    events: int
    seconds: float
    seed: int
    methods: Mapping[str, Figures]
    anchors: Mapping[str, Figures] = field(default_factory=dict)
    also: Figures = field(default_factory=dict)

    def as_dict(self, command: str) -> dict[str, Any]:
        """The layout of reports/<protocol>-<data set>.json; all but `seconds` and what measures time follows from data, seed and code."""
        return {
            "protocol": self.protocol,
            "dataset": self.dataset,
            "events": self.events,
            "seconds": round(self.seconds, 1),
            "command": command,
            "seed": self.seed,
            "methods": {name: _rounded(figures) for name, figures in self.methods.items()},
            "anchors": {name: dict(figures) for name, figures in self.anchors.items()},
            **({"also": dict(self.also)} if self.also else {}),
        }

    @property
    def metrics(self) -> list[str]:
        """The metrics that are single numbers, in order of appearance."""
        found = (name for figures in (*self.methods.values(), *self.anchors.values()) for name in figures)
        return [name for name in dict.fromkeys(found) if not name.endswith(BY_TENTH)]


def write_result(outcome: BenchmarkResult, folder: Path, command: str) -> list[Path]:
    """Write `<protocol>-<data set>.json` and `.png`, each whole or not at all; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{outcome.protocol}-{outcome.dataset}.json"
    partial = path.with_suffix(".json.partial")
    partial.write_text(json.dumps(outcome.as_dict(command), indent=2) + "\n")
    partial.replace(path)
    plot = path.with_suffix(".png")
    _plot(outcome).savefig(plot, dpi=130)
    return [path, plot]


def tables(outcome: BenchmarkResult) -> list[Table]:
    """Methods and anchors by metric; where there are tenths of a stream, those of the first such metric too. Fits into 100 columns."""
    figures = Table(title=f"{outcome.protocol}, {outcome.dataset}", **_LOOK)
    figures.add_column("", no_wrap=True)
    for metric in outcome.metrics:
        figures.add_column(metric, justify="right", no_wrap=True)
    for name, found in (*outcome.methods.items(), *outcome.anchors.items()):
        style = "bold" if name == MODEL else "" if name in outcome.methods else "dim"
        figures.add_row(name, *(_number(found.get(metric)) for metric in outcome.metrics), style=style)
    by_tenth = _first_by_tenth(outcome)
    if by_tenth is None:
        return [figures]
    tenths = Table(title=f"{by_tenth.removesuffix(BY_TENTH)} by tenth of the stream", **_LOOK)
    for column in ("", *(str(tenth) for tenth in range(1, 11))):
        tenths.add_column(column, justify="right" if column else "left", no_wrap=True)
    for name, found in outcome.methods.items():
        tenths.add_row(
            name, *(f"{one:.3f}".removeprefix("0") for one in found[by_tenth]), style="bold" if name == MODEL else ""
        )
    return [figures, tenths]


_LOOK: dict[str, Any] = {
    "title_justify": "left",
    "box": None,
    "padding": (0, 1, 0, 0),
    "pad_edge": False,
}


def _plot(outcome: BenchmarkResult) -> Figure:
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    by_tenth = _first_by_tenth(outcome)
    if by_tenth is not None:
        for name, found in outcome.methods.items():
            strong = name == MODEL
            line, width = ("-", 2.5) if strong else ("--", 1.5)
            axes.plot(np.arange(1, 11) * 10, found[by_tenth], marker="o", label=name, linestyle=line, linewidth=width)
        axes.set_xlabel("share of the stream, %")
        axes.set_ylabel(by_tenth.removesuffix(BY_TENTH))
        axes.set_ylim(bottom=0)
        axes.legend()
    else:
        metric = outcome.metrics[0]
        everything = {**outcome.methods, **outcome.anchors}
        values = {name: float(found[metric]) for name, found in everything.items() if metric in found}
        colours = ["tab:blue" if name in outcome.methods else "tab:grey" for name in values]
        axes.barh(list(values)[::-1], list(values.values())[::-1], color=colours[::-1])
        axes.set_xlabel(f"{metric} (grey: published, or measured elsewhere)")
        axes.set_xlim(*_limits(list(values.values())))
    axes.set_title(f"{outcome.protocol}, {outcome.dataset}: {outcome.events:,} events")
    axes.grid(alpha=0.3)
    return figure


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """Enough of an axis to tell bars apart."""
    room = 0.3 * (max(values) - min(values)) or 0.1 * max(values)
    return max(0.0, min(values) - room), max(values) + room / 3


def _first_by_tenth(outcome: BenchmarkResult) -> str | None:
    found = (name for figures in outcome.methods.values() for name in figures if name.endswith(BY_TENTH))
    return next(found, None)


def _rounded(figures: Figures) -> dict[str, Any]:
    return {
        name: [round(one, 6) for one in value]
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
