"""`make bench`: runs every benchmark of this folder, prints a table, writes reports/bench.json.

A benchmark is a module here with `run() -> dict[str, float]`: names of figures with their unit at the end, the reference beside each.
`python -m eddy_lab.bench scorer trainer` runs those alone.
"""

import argparse
import importlib
import json
import pkgutil
import sys
import time

from rich.console import Console
from rich.table import Table

import eddy_lab.bench
from eddy.errors import ConfigError, FatalError
from eddy.paths import REPO_ROOT

NAMES = sorted(
    module.name for module in pkgutil.iter_modules(eddy_lab.bench.__path__) if not module.name.startswith("_")
)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m eddy_lab.bench", description="Speed of the parts, each beside a reference."
    )
    parser.add_argument(
        "names", nargs="*", choices=[*NAMES, []], help=f"which to run; all of {', '.join(NAMES)} otherwise"
    )
    wanted = parser.parse_args().names or NAMES
    console = Console()
    figures: dict[str, dict[str, float]] = {}
    try:
        for name in wanted:
            with console.status(f"{name} ..."):
                started = time.perf_counter()
                figures[name] = importlib.import_module(f"eddy_lab.bench.{name}").run()
            console.print(_table(name, figures[name], time.perf_counter() - started))
    except* (ConfigError, FatalError) as group:
        sys.exit(f"bench: {group.exceptions[0]}")
    report = REPO_ROOT / "reports" / "bench.json"
    report.parent.mkdir(exist_ok=True)
    report.write_text(json.dumps(figures, indent=2) + "\n")
    console.print(f"written to {report.relative_to(REPO_ROOT)}")


def _table(name: str, figures: dict[str, float], seconds: float) -> Table:
    table = Table(title=f"{name} ({seconds:.0f} s)", title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for figure, value in figures.items():
        table.add_row(figure, f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}")
    return table


if __name__ == "__main__":
    main()
