"""Draws boards as pictures from a Prometheus, for machines without Grafana."""

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
    """Draw a board, its panels in rows of three. Raises ConfigError if no Prometheus answers."""
    panels = [(title, panel) for title, row in board.rows.items() for panel in row]
    row_count = sum(-(-len(row) // COLUMNS) for row in board.rows.values())
    figure, axes = plt.subplots(
        row_count, COLUMNS, figsize=(18, 3.2 * row_count), squeeze=False, constrained_layout=True
    )
    figure.suptitle(board.title, fontsize=15)
    for axis in axes.flat:
        axis.set_visible(False)
    grid_row, column, previous_title = -1, 0, ""
    for title, panel in panels:
        if title != previous_title or column == COLUMNS:
            grid_row, column = grid_row + 1, 0
        _draw_panel(axes[grid_row][column], panel, prometheus, minutes)
        if title != previous_title:
            axes[grid_row][0].annotate(title, (0, 1.16), xycoords="axes fraction", fontsize=12, fontweight="bold")
        column, previous_title = column + 1, title
    figure.savefig(path, dpi=80)
    plt.close(figure)


def _draw_panel(axis: Axes, panel: Panel, prometheus: str, minutes: float) -> None:
    axis.set_visible(True)
    axis.set_title(panel.title if panel.unit == "short" else f"{panel.title} ({panel.unit})", fontsize=10, loc="left")
    axis.grid(alpha=0.3)
    axis.tick_params(labelsize=8)
    for legend, query in panel.queries.items():
        for series in _range(prometheus, query, minutes):
            times, values = zip(
                *((datetime.fromtimestamp(seconds, UTC), float(value)) for seconds, value in series["values"]),
                strict=True,
            )
            axis.plot(times, values, linewidth=1.5, label=_legend(legend, series["metric"]))
    axis.xaxis.set_major_formatter(DateFormatter("%H:%M"))  # type: ignore[no-untyped-call]  # matplotlib leaves it untyped
    if axis.get_legend_handles_labels()[1]:
        axis.legend(fontsize=7, loc="upper left", ncols=2)


def _legend(legend: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda label: labels.get(label[1], ""), legend)


def _range(prometheus: str, query: str, minutes: float) -> list[dict[str, Any]]:
    now = time.time()
    query_string = urllib.parse.urlencode({"query": query, "start": now - 60 * minutes, "end": now, "step": STEP_SEC})
    try:
        with urllib.request.urlopen(f"{prometheus}/api/v1/query_range?{query_string}", timeout=30) as answer:
            return list(json.load(answer)["data"]["result"])
    except OSError as error:
        raise ConfigError(f"no Prometheus answers at {prometheus} ({error})") from error
