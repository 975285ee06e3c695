"""`eddy evaluate`: run one benchmark, print its figures and write them to files."""

import shlex
import sys
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch
from rich.console import Console

from eddy.errors import ConfigError
from eddy.settings import load as load_settings
from eddy_lab.evaluate.options import Options
from eddy_lab.evaluate.report import BenchmarkReport
from eddy_lab.evaluate.result import BenchmarkResult
from eddy_trainer.core.models import DEFAULT_MODEL, MODELS
from eddy_trainer.settings import TrainerSettings

FILE_WIDTH = 120  # columns of a table that is written to a file


@dataclass(frozen=True, slots=True)
class Arguments:
    """The command line. `named` are the options it contains; `limit` None is the whole data set, `model` None the default."""

    benchmark: str
    dataset: str
    data: Path | None
    scenario: str
    action: str
    limit: int | None
    seed: int
    model: str | None
    text: bool
    named: frozenset[str]


def evaluate(arguments: Arguments, output: Path) -> None:
    """Raises ConfigError for an option that the benchmark does not have, and for data that cannot be read."""
    benchmark = import_module(f"eddy_lab.evaluate.benchmarks.{arguments.benchmark}")
    for name in getattr(benchmark, "UNUSED_OPTIONS", ()):
        if name in arguments.named:
            raise ConfigError(f"--{name} has no effect on {arguments.benchmark}. Leave it out")
    model = arguments.model or DEFAULT_MODEL
    if model not in MODELS:
        raise ConfigError(f"unknown model {model}. Choose one of {', '.join(MODELS)}")
    settings = load_settings(TrainerSettings)
    torch.set_num_threads(settings.trainer_threads)
    options = Options(
        arguments.dataset,
        arguments.data,
        arguments.scenario,
        arguments.action,
        arguments.limit,
        arguments.seed,
        settings.scenarios_path,
        settings.trainer_graphs_dir,
        model,
        settings.text_model if arguments.text else "",
    )
    console = Console()
    if not console.is_terminal:
        console = Console(width=FILE_WIDTH)
    started = time.monotonic()
    result: BenchmarkResult = benchmark.run(options, console)
    seconds = time.monotonic() - started
    command = shlex.join(["eddy", *sys.argv[1:]])
    report = BenchmarkReport(arguments.benchmark, result, seconds, arguments.seed, command)
    paths = report.write(output)
    for table in report.tables():
        console.print(table)
    for name, value in result.details.items():
        console.print(f"{name}: {value}", highlight=False)
    console.print(f"{result.events:,} events in {seconds:.0f} s", highlight=False)
    console.print("written:", ", ".join(map(str, paths)), highlight=False, soft_wrap=True)
