"""`make evaluate PROTOCOL=...`: what is learned from a data set, measured in one process without Kafka."""

import argparse
import shlex
import sys
from importlib import import_module
from pathlib import Path

import torch
from rich.console import Console

from eddy.settings import load as load_settings
from eddy_cli.console import run_command
from eddy_cli.replay.options import add_data_arguments
from eddy_lab.evaluate.options import Options
from eddy_lab.evaluate.outcome import Outcome, tables, write_outcome
from eddy_trainer.core.models import DEFAULT, MODELS
from eddy_trainer.settings import TrainerSettings

PROTOCOLS = tuple(sorted(path.stem for path in (Path(__file__).parent / "protocols").glob("[a-z]*.py")))

WIDE = 120  # columns of a table that goes into a file


def main() -> None:
    """Run `python -m eddy_lab.evaluate`."""
    parser = argparse.ArgumentParser(prog="python -m eddy_lab.evaluate", description=__doc__)
    parser.add_argument(
        "protocol", choices=PROTOCOLS, help="lab/eddy_lab/evaluate/README.md says what each of them measures"
    )
    add_data_arguments(parser)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", choices=MODELS, default=DEFAULT, help="kind of model: services/trainer/models")
    parser.add_argument(
        "--text", action=argparse.BooleanOptionalAction, default=True, help="read what items say in words"
    )
    parser.add_argument("--output", type=Path, default=Path("reports"), help="folder of the .json and the .png")
    given = parser.parse_args()
    protocol = import_module(f"eddy_lab.evaluate.protocols.{given.protocol}")
    for name in getattr(protocol, "WITHOUT", ()):
        if getattr(given, name) != parser.get_default(name):
            parser.error(f"--{name} says nothing in {given.protocol}")
    settings = load_settings(TrainerSettings)
    torch.set_num_threads(settings.trainer_threads)
    options = Options(
        given.dataset,
        given.data,
        given.scenario,
        given.action,
        given.limit,
        given.seed,
        settings.scenarios_path,
        settings.trainer_graphs_dir,
        given.model,
        settings.text_model if given.text else "",
    )
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE)
    outcome: Outcome = protocol.run(options, console)
    command = shlex.join(["python", "-m", "eddy_lab.evaluate", *sys.argv[1:]])
    written = write_outcome(outcome, given.output, command)
    for table in tables(outcome):
        console.print(table)
    for name, value in outcome.also.items():
        console.print(f"{name}: {value}", highlight=False)
    console.print(f"{outcome.events:,} events in {outcome.seconds:.0f} s", highlight=False)
    console.print("written:", ", ".join(map(str, written)), highlight=False, soft_wrap=True)


if __name__ == "__main__":
    run_command("evaluate", main)
