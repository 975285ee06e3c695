"""`eddy bench`: run speed benchmarks, print a table of each and write all figures as JSON.

A speed benchmark is a module of `eddy_lab.bench` with `run() -> dict[str, float]`. The names of its figures end with their unit.
"""

import importlib
import json
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table


def run_benchmarks(names: Sequence[str], output: Path) -> None:
    """Run the benchmarks `names`. Raises ConfigError and FatalError, also in exception groups."""
    console = Console()
    figures: dict[str, dict[str, float]] = {}
    for name in names:
        with console.status(f"{name} ..."):
            started = time.perf_counter()
            figures[name] = importlib.import_module(f"eddy_lab.bench.{name}").run()
        console.print(_table(name, figures[name], time.perf_counter() - started))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(figures, indent=2) + "\n")
    console.print(f"written to {output}")


def _table(name: str, figures: dict[str, float], seconds: float) -> Table:
    table = Table(title=f"{name} ({seconds:.0f} s)", title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for figure, value in figures.items():
        table.add_row(figure, f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}")
    return table
