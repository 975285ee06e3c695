"""`eddy replay` and `eddy demo`: a data set, played through the loop."""

import sys
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer

from eddy_cli.commands.options import (
    Action,
    Data,
    Dataset,
    Deadline,
    Limit,
    MaxSkew,
    Output,
    Rate,
    ReadyWithin,
    Scenario,
    Speed,
    Users,
    Window,
)
from eddy_cli.replay.options import ReplayOptions

# About two minutes of them.
DEMO_EVENTS = 30_000
DEFAULTS = ReplayOptions()


def add_to(app: typer.Typer) -> None:
    app.command("demo", rich_help_panel="Start here")(demo)
    app.command("replay", rich_help_panel="Data")(replay)
    app.command("check-report", rich_help_panel="Maintenance")(check_report)


def replay(
    dataset: Dataset = DEFAULTS.dataset,
    data: Data = None,
    scenario: Scenario = DEFAULTS.scenario,
    action: Action = DEFAULTS.action,
    limit: Limit = None,
    users: Users = None,
    speed: Speed = None,
    rate: Rate = None,
    window: Window = DEFAULTS.window,
    max_skew: MaxSkew = DEFAULTS.max_skew_sec,
    deadline: Deadline = DEFAULTS.deadline_sec,
    ready_within: ReadyWithin = DEFAULTS.ready_within_sec,
    output: Output = DEFAULTS.output,
) -> None:
    """Play a data set through a running stack, as its users would have lived it, and write a report.

    The joiner must run with EDDY_JOINER_LATENESS_SEC of at least --max-skew (`eddy exec` sets it).
    """
    from eddy_cli.replay.command import play

    play(
        ReplayOptions(
            dataset=dataset,
            data=data,
            scenario=scenario,
            action=action,
            limit=limit or None,
            users=users,
            speed=speed,
            rate=rate,
            window=window,
            max_skew_sec=max_skew,
            deadline_sec=deadline,
            ready_within_sec=ready_within,
            output=output,
        )
    )


def demo(
    dataset: Dataset = DEFAULTS.dataset,
    data: Data = None,
    scenario: Scenario = DEFAULTS.scenario,
    action: Action = DEFAULTS.action,
    limit: Limit = DEMO_EVENTS,
    users: Users = None,
    speed: Speed = None,
    rate: Rate = None,
    window: Window = DEFAULTS.window,
    deadline: Deadline = DEFAULTS.deadline_sec,
    ready_within: ReadyWithin = DEFAULTS.ready_within_sec,
    output: Output = DEFAULTS.output,
) -> None:
    """Play MovieLens (or your own data) through the whole loop, on a Kafka and services that are started for it."""
    from eddy_cli.datasets.fetch import fetch_named
    from eddy_cli.stack import run_stack

    if data is None:
        fetch_named([dataset])
    chosen = ReplayOptions(
        dataset=dataset,
        data=data,
        scenario=scenario,
        action=action,
        limit=limit or None,
        users=users,
        speed=speed,
        rate=rate,
        window=window,
        deadline_sec=deadline,
        ready_within_sec=ready_within,
        output=output,
    )
    raise typer.Exit(run_stack([sys.executable, "-m", "eddy_cli", "replay", *arguments(chosen)]))


def arguments(options: ReplayOptions) -> list[str]:
    """The arguments of `eddy replay` that give these options."""
    given: list[str] = []
    for field in fields(options):
        value = getattr(options, field.name)
        if value != field.default:
            given += [f"--{field.name.removesuffix('_sec').replace('_', '-')}", str(value)]
    return given


def check_report(
    report: Annotated[Path, typer.Argument(help="The .json of a replay.")] = Path("reports/demo.json"),
) -> None:
    """Check a report of `eddy demo`: ledger balanced, models released, the model ahead of popularity."""
    from eddy_cli.check_report import check

    print(check(report))
