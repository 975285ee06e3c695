"""The commands `eddy evaluate` and `eddy bench` (entry point group `eddy.commands`)."""

from pathlib import Path
from typing import Annotated

import typer

from eddy_cli.commands.options import Action, Data, Dataset, Limit, Scenario
from eddy_cli.replay.options import ReplayOptions

DEFAULTS = ReplayOptions()


def benchmarks() -> list[str]:
    """Names of the benchmarks of `eddy evaluate`."""
    return _modules("evaluate/benchmarks")


def speed_benchmarks() -> list[str]:
    """Names of the benchmarks of `eddy bench`."""
    return _modules("bench")


def _modules(folder: str) -> list[str]:
    return sorted(path.stem for path in (Path(__file__).parent / folder).glob("[a-z]*.py"))


def evaluate(
    context: typer.Context,
    benchmark: Annotated[
        str,
        typer.Argument(help=f"{', '.join(benchmarks())}: lab/eddy_lab/evaluate/README.md.", autocompletion=benchmarks),
    ],
    dataset: Dataset = DEFAULTS.dataset,
    data: Data = None,
    scenario: Scenario = DEFAULTS.scenario,
    action: Action = DEFAULTS.action,
    limit: Limit = None,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    model: Annotated[str | None, typer.Option(help="Kind of model: services/trainer/eddy_trainer/core/models.")] = None,
    text: Annotated[bool, typer.Option(help="Embed the words of items.")] = True,
    output: Annotated[Path, typer.Option(help="Folder of the .json and the .png.")] = Path("reports"),
) -> None:
    """Run a benchmark of the model in one process, without Kafka."""
    import torch

    from eddy.settings import load
    from eddy_lab.evaluate.command import evaluate
    from eddy_lab.evaluate.options import Options
    from eddy_trainer.core.models import DEFAULT_MODEL
    from eddy_trainer.settings import TrainerSettings

    if benchmark not in benchmarks():
        raise typer.BadParameter(f"unknown benchmark {benchmark}. Choose one of {', '.join(benchmarks())}")
    named = {name for name in context.params if str(context.get_parameter_source(name)).endswith("COMMANDLINE")}
    settings = load(TrainerSettings)
    torch.set_num_threads(settings.trainer_threads)
    options = Options(
        dataset,
        data,
        scenario,
        action,
        limit or None,
        seed,
        settings.scenarios_path,
        settings.trainer_graphs_dir,
        model or DEFAULT_MODEL,
        settings.text_model if text else "",
    )
    evaluate(benchmark, options, named, output)


def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(help=f"{', '.join(speed_benchmarks())}. Default: all.", autocompletion=speed_benchmarks),
    ] = None,
    output: Annotated[Path, typer.Option(help="JSON file of the figures.")] = Path("reports/bench.json"),
) -> None:
    """Run speed benchmarks, compared with references."""
    from eddy_lab.run_benchmarks import run_benchmarks

    for name in names or ():
        if name not in speed_benchmarks():
            raise typer.BadParameter(f"unknown benchmark {name}. Choose one of {', '.join(speed_benchmarks())}")
    run_benchmarks(names or speed_benchmarks(), output)


def attack(
    name: Annotated[
        str,
        typer.Argument(
            help="Attack: one_click, unpublished, bots, trained_bots, pair, repeats, impressions, negatives."
        ),
    ],
    dataset: Dataset = DEFAULTS.dataset,
    data: Data = None,
    scenario: Scenario = DEFAULTS.scenario,
    action: Action = DEFAULTS.action,
    limit: Annotated[int, typer.Option(min=100, help="Honest events before the attack.")] = 3000,
    size: Annotated[int | None, typer.Option(min=1, max=20_000, help="Events of the attack.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
) -> None:
    """Attack the recommender in one process, without Kafka, and compare who is recommended what before and after."""
    import torch
    from rich.console import Console

    from eddy.settings import load
    from eddy_lab.attack.attacks import ATTACKS
    from eddy_lab.attack.command import attack
    from eddy_lab.evaluate.options import Options
    from eddy_trainer.core.models import DEFAULT_MODEL
    from eddy_trainer.settings import TrainerSettings

    if name not in ATTACKS:
        raise typer.BadParameter(f"unknown attack {name}. Choose one of {', '.join(ATTACKS)}")
    settings = load(TrainerSettings)
    torch.set_num_threads(settings.trainer_threads)
    paths = settings.scenarios_path, settings.trainer_graphs_dir
    options = Options(dataset, data, scenario, action, limit, seed, *paths, DEFAULT_MODEL, "")
    if not attack(name, options, size, Console()):
        raise typer.Exit(1)
