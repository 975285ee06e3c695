"""What `eddy evaluate` does: run one protocol, show and keep its figures."""

import shlex
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch
from rich.console import Console

from eddy.errors import ConfigError
from eddy.settings import load as load_settings
from eddy_lab.evaluate.options import Options
from eddy_lab.evaluate.result import BenchmarkResult, tables, write_result
from eddy_trainer.core.models import DEFAULT_MODEL, MODELS
from eddy_trainer.settings import TrainerSettings

WIDE = 120  # columns of a table that goes into a file


@dataclass(frozen=True, slots=True)
class Arguments:
    """The command line. `given` names the options that were said; None for `limit` is the whole data set, for `model` the default."""

    protocol: str
    dataset: str
    data: Path | None
    scenario: str
    action: str
    limit: int | None
    seed: int
    model: str | None
    text: bool
    given: frozenset[str]


def evaluate(asked: Arguments, output: Path) -> None:
    """Raises ConfigError for an option that the protocol has no use for, and for data that cannot be read."""
    protocol = import_module(f"eddy_lab.evaluate.benchmarks.{asked.protocol}")
    for name in getattr(protocol, "WITHOUT", ()):
        if name in asked.given:
            raise ConfigError(f"--{name} says nothing in {asked.protocol}")
    model = asked.model or DEFAULT_MODEL
    if model not in MODELS:
        raise ConfigError(f"there is no model {model}: choose one of {', '.join(MODELS)}")
    settings = load_settings(TrainerSettings)
    torch.set_num_threads(settings.trainer_threads)
    options = Options(
        asked.dataset,
        asked.data,
        asked.scenario,
        asked.action,
        asked.limit,
        asked.seed,
        settings.scenarios_path,
        settings.trainer_graphs_dir,
        model,
        settings.text_model if asked.text else "",
    )
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE)
    outcome: BenchmarkResult = protocol.run(options, console)
    written = write_result(outcome, output, shlex.join(["eddy", *sys.argv[1:]]))
    for table in tables(outcome):
        console.print(table)
    for name, value in outcome.also.items():
        console.print(f"{name}: {value}", highlight=False)
    console.print(f"{outcome.events:,} events in {outcome.seconds:.0f} s", highlight=False)
    console.print("written:", ", ".join(map(str, written)), highlight=False, soft_wrap=True)
