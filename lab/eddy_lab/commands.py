"""`eddy evaluate` and `eddy bench`: what this package adds to the command line (entry point group `eddy.commands`)."""

from pathlib import Path
from typing import Annotated

import typer

from eddy_cli.commands.options import Action, Data, Dataset, Limit, Scenario
from eddy_cli.replay.options import ReplayOptions

DEFAULTS = ReplayOptions()


def protocols() -> list[str]:
    """Names of what `evaluate` can measure."""
    return sorted(path.stem for path in (Path(__file__).parent / "evaluate" / "benchmarks").glob("[a-z]*.py"))


def benchmarks() -> list[str]:
    """Names of what `bench` can measure."""
    return sorted(path.stem for path in (Path(__file__).parent / "bench").glob("[a-z]*.py"))


def evaluate(
    context: typer.Context,
    protocol: Annotated[
        str,
        typer.Argument(help=f"{', '.join(protocols())}: lab/eddy_lab/evaluate/README.md.", autocompletion=protocols),
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
    from eddy_lab.evaluate.command import Arguments, evaluate

    if protocol not in protocols():
        raise typer.BadParameter(f"there is no protocol {protocol}: choose one of {', '.join(protocols())}")
    given = {name for name in context.params if str(context.get_parameter_source(name)).endswith("COMMANDLINE")}
    evaluate(
        Arguments(protocol, dataset, data, scenario, action, limit or None, seed, model, text, frozenset(given)), output
    )


def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(help=f"{', '.join(benchmarks())}; all when left out.", autocompletion=benchmarks),
    ] = None,
    output: Annotated[Path, typer.Option(help="Where the figures go.")] = Path("reports/bench.json"),
) -> None:
    """Run speed benchmarks, compared with references."""
    from eddy_lab.run_benchmarks import run_benchmarks

    for name in names or ():
        if name not in benchmarks():
            raise typer.BadParameter(f"there is no benchmark {name}: choose one of {', '.join(benchmarks())}")
    run_benchmarks(names or benchmarks(), output)
