"""Every board as a picture of what a Prometheus answers to its queries: what Grafana would draw, where there is none."""

import json
import re
import time
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter

from eddy.errors import ConfigError
from eddy_cli.boards import Board, Panel

COLUMNS = 3
STEP_SEC = 5


def draw(board: Board, prometheus: str, minutes: float, path: Path) -> None:
    """One picture of a board, its panels in rows of three. Raises ConfigError where no Prometheus answers."""
    panels = [(title, panel) for title, row in board.rows.items() for panel in row]
    lines = sum(-(-len(row) // COLUMNS) for row in board.rows.values())
    figure, axes = plt.subplots(lines, COLUMNS, figsize=(18, 3.2 * lines), squeeze=False, constrained_layout=True)
    figure.suptitle(board.title, fontsize=15)
    for axis in axes.flat:
        axis.set_visible(False)
    line, column, former = -1, 0, ""
    for title, panel in panels:
        if title != former or column == COLUMNS:
            line, column = line + 1, 0
        _draw_panel(axes[line][column], panel, prometheus, minutes)
        if title != former:
            axes[line][0].annotate(title, (0, 1.16), xycoords="axes fraction", fontsize=12, fontweight="bold")
        column, former = column + 1, title
    figure.savefig(path, dpi=80)
    plt.close(figure)


def _draw_panel(axis: Axes, panel: Panel, prometheus: str, minutes: float) -> None:
    axis.set_visible(True)
    axis.set_title(panel.title if panel.unit == "short" else f"{panel.title} ({panel.unit})", fontsize=10, loc="left")
    axis.grid(alpha=0.3)
    axis.tick_params(labelsize=8)
    for legend, query in panel.queries.items():
        for series in _range(prometheus, query, minutes):
            at, values = zip(
                *((datetime.fromtimestamp(at, UTC), float(value)) for at, value in series["values"]), strict=True
            )
            axis.plot(at, values, linewidth=1.5, label=_named(legend, series["metric"]))
    axis.xaxis.set_major_formatter(DateFormatter("%H:%M"))  # type: ignore[no-untyped-call]  # matplotlib leaves it untyped
    if axis.get_legend_handles_labels()[1]:
        axis.legend(fontsize=7, loc="upper left", ncols=2)


def _named(legend: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda label: labels.get(label[1], ""), legend)


def _range(prometheus: str, query: str, minutes: float) -> list[dict[str, Any]]:
    now = time.time()
    asked = urllib.parse.urlencode({"query": query, "start": now - 60 * minutes, "end": now, "step": STEP_SEC})
    try:
        with urllib.request.urlopen(f"{prometheus}/api/v1/query_range?{asked}", timeout=30) as answer:
            return list(json.load(answer)["data"]["result"])
    except OSError as error:
        raise ConfigError(f"no Prometheus answers at {prometheus} ({error})") from error
