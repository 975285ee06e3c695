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
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Attacks: lab/eddy_lab/attack/attacks.py. Default: all."),
    ] = None,
    dataset: Dataset = DEFAULTS.dataset,
    data: Data = None,
    scenario: Scenario = DEFAULTS.scenario,
    action: Action = DEFAULTS.action,
    limit: Annotated[int, typer.Option(min=100, help="Honest events before the attack.")] = 3000,
    size: Annotated[int | None, typer.Option(min=1, max=20_000, help="Events of each attack.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    gateway: Annotated[
        str | None, typer.Option(help="URL of the gateway of a running stack to attack. Its events stay.")
    ] = None,
    key: Annotated[str, typer.Option(help="API key for the gateway.", envvar="EDDY_ATTACK_KEY")] = "",
    item: Annotated[
        str | None, typer.Option(help="Item to promote on the stack. Default: a seldom recommended one.")
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds between the attack on a stack and the slates after it.")
    ] = 30.0,
    remote: Annotated[bool, typer.Option(help="Attack a gateway on another machine.")] = False,
) -> None:
    """Attack the recommender, in one process without Kafka or on a running stack, and compare who is recommended what before and after."""
    import torch
    from rich.console import Console

    from eddy.settings import load
    from eddy_lab.attack.attacks import ATTACKS
    from eddy_lab.attack.command import attack
    from eddy_lab.evaluate.options import Options
    from eddy_trainer.core.models import DEFAULT_MODEL
    from eddy_trainer.settings import TrainerSettings

    for name in names or ():
        if name not in ATTACKS:
            raise typer.BadParameter(f"unknown attack {name}. Choose one of {', '.join(ATTACKS)}")
    settings = load(TrainerSettings)
    if gateway is not None:
        attack_gateway(names or list(ATTACKS), gateway, key, item, scenario, action, size, wait, remote)
        return
    torch.set_num_threads(settings.trainer_threads)
    paths = settings.scenarios_path, settings.trainer_graphs_dir
    options = Options(dataset, data, scenario, action, limit, seed, *paths, DEFAULT_MODEL, "")
    if not attack(names or list(ATTACKS), options, size, Console()):
        raise typer.Exit(1)


def attack_gateway(
    names: list[str],
    url: str,
    key: str,
    item: str | None,
    scenario: str,
    action: str,
    size: int | None,
    wait_sec: float,
    remote: bool,
) -> None:
    """Attack a running stack through its gateway. Exits with 1 if an attack succeeded."""
    import httpx
    from rich.console import Console

    from eddy.contract.scenarios import load_scenarios
    from eddy.settings import load
    from eddy_lab.attack.attacks import Scene
    from eddy_lab.attack.stack import attack_stack, check_loopback
    from eddy_trainer.settings import TrainerSettings

    check_loopback(url, remote)
    rules = load_scenarios(load(TrainerSettings).scenarios_path)[scenario].actions
    negative = next((name for name, rule in rules.items() if rule.weight < 0), None)
    scene = Scene(scenario, action, negative, 0, [], "", "")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
        if not attack_stack(names, client, scene, item, size, wait_sec, Console()):
            raise typer.Exit(1)
