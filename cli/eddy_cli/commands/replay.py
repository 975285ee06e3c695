"""`eddy replay` and `eddy demo`: play a data set through the loop."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any

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

# About two minutes of replay.
DEMO_EVENTS = 30_000
# The option of each field of ReplayOptions; `--max-skew` is that of `max_skew_sec`.
OPTIONS: Mapping[str, Any] = {
    "dataset": Dataset,
    "data": Data,
    "scenario": Scenario,
    "action": Action,
    "limit": Limit,
    "users": Users,
    "speed": Speed,
    "rate": Rate,
    "window": Window,
    "max_skew_sec": MaxSkew,
    "deadline_sec": Deadline,
    "ready_within_sec": ReadyWithin,
    "output": Output,
}


def add_to(app: typer.Typer) -> None:
    demo_options = [name for name in OPTIONS if name != "max_skew_sec"]  # the joiner of the demo expects the default
    app.command("demo", rich_help_panel="Start here")(_with_options(demo, demo_options, limit=DEMO_EVENTS))
    app.command("replay", rich_help_panel="Data")(_with_options(replay, OPTIONS))
    app.command("check-report", rich_help_panel="Maintenance")(check_report)


def replay(options: ReplayOptions) -> None:
    """Publish the events of a data set through a running stack, in order of event time, and write a report.

    Users are at most as far apart as the joiner's EDDY_JOINER_LATENESS_SEC allows (`eddy exec` sets it to the default of --max-skew).
    """
    from eddy_cli.replay.command import play

    play(options)


def demo(options: ReplayOptions) -> None:
    """Play MovieLens (or your own data) through the whole loop, on a local Kafka and services that this starts."""
    from eddy_cli.datasets.fetch import fetch_named
    from eddy_cli.stack import run_stack

    if options.data is None:
        fetch_named([options.dataset])
    raise typer.Exit(run_stack([sys.executable, "-m", "eddy_cli", "replay", *arguments(options)]))


def arguments(options: ReplayOptions) -> list[str]:
    """The arguments of `eddy replay` that give these options."""
    given: list[str] = []
    for field in fields(options):
        value = getattr(options, field.name)
        if value != field.default:
            given += [f"--{_parameter(field.name).replace('_', '-')}", str(value)]
    return given


def check_report(
    report: Annotated[Path, typer.Argument(help="The .json of a replay.")] = Path("reports/demo.json"),
) -> None:
    """Check a report of `eddy demo`: ledger balanced, models released, the model better than popularity."""
    from eddy_cli.check_report import check

    print(check(report))


def _with_options(
    command: Callable[[ReplayOptions], None], names: Mapping[str, Any] | list[str], **defaults: Any
) -> Callable[..., None]:
    """`command` with a parameter for each of the options `names`, as typer reads them from a signature.

    `defaults` replace those of ReplayOptions. A limit of 0 becomes None: no limit.
    """
    default = replace(ReplayOptions(), **defaults)
    field_names = {_parameter(name): name for name in names}

    def run(**values: Any) -> None:
        values["limit"] = values["limit"] or None
        command(ReplayOptions(**{field_names[name]: value for name, value in values.items()}))

    run.__doc__ = command.__doc__
    run.__signature__ = Signature(  # type: ignore[attr-defined]  # mypy does not know the attribute of functions
        [
            Parameter(parameter, Parameter.KEYWORD_ONLY, default=getattr(default, name), annotation=OPTIONS[name])
            for parameter, name in field_names.items()
        ]
    )
    return run


def _parameter(field_name: str) -> str:
    return field_name.removesuffix("_sec")
