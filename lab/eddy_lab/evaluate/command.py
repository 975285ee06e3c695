"""`eddy evaluate`: run one benchmark, print its figures and write them to files."""

import shlex
import sys
import time
from collections.abc import Collection
from importlib import import_module
from pathlib import Path

from rich.console import Console

from eddy.errors import ConfigError
from eddy_lab.evaluate.options import Options
from eddy_lab.evaluate.report import BenchmarkReport
from eddy_lab.evaluate.result import BenchmarkResult
from eddy_trainer.core.models import MODELS

FILE_WIDTH = 120  # columns of a table that is written to a file


def evaluate(benchmark: str, options: Options, named: Collection[str], output: Path) -> None:
    """Run a benchmark; `named` are the options that the command line contains, `output` is the folder of the report.

    Raises ConfigError for an option that has no effect on the benchmark, and for data that cannot be read.
    """
    module = import_module(f"eddy_lab.evaluate.benchmarks.{benchmark}")
    for name in getattr(module, "UNUSED_OPTIONS", ()):
        if name in named:
            raise ConfigError(f"--{name} has no effect on {benchmark}. Leave it out")
    if options.model not in MODELS:
        raise ConfigError(f"unknown model {options.model}. Choose one of {', '.join(MODELS)}")
    console = Console()
    if not console.is_terminal:
        console = Console(width=FILE_WIDTH)
    started = time.monotonic()
    result: BenchmarkResult = module.run(options, console)
    seconds = time.monotonic() - started
    command = shlex.join(["eddy", *sys.argv[1:]])
    report = BenchmarkReport(benchmark, result, seconds, options.seed, command)
    paths = report.write(output)
    for table in report.tables():
        console.print(table)
    for name, value in result.details.items():
        console.print(f"{name}: {value}", highlight=False)
    console.print(f"{result.events:,} events in {seconds:.0f} s", highlight=False)
    console.print("written:", ", ".join(map(str, paths)), highlight=False, soft_wrap=True)
