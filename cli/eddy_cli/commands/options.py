"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer


def above_zero(value: float | None) -> float | None:
    """Validate a number that must be above 0 and finite."""
    if value is not None and not 0 < value < float("inf"):
        raise typer.BadParameter(f"{value} is not above 0")
    return value


def datasets() -> list[str]:
    """Names to complete --dataset with."""
    from eddy_cli.datasets.sources import SOURCES

    return list(SOURCES)


def services() -> list[str]:
    """Names to complete a service with."""
    from eddy_cli.services import SERVICES

    return list(SERVICES)


Dataset = Annotated[
    str, typer.Option(help="Data set: ml-100k or ml-1m, downloaded by `eddy data`.", autocompletion=datasets)
]
Data = Annotated[
    Path | None, typer.Option(help="Folder or file with your own data instead: docs/bring-your-own-data.md.")
]
Scenario = Annotated[str, typer.Option(help="Scenario to play the events in: an entry of scenarios.yaml.")]
Action = Annotated[str, typer.Option(help="Action to play the events as: one of the scenario's positive actions.")]
Limit = Annotated[int | None, typer.Option(min=0, help="Maximum number of events; 0 plays all.")]
Users = Annotated[int | None, typer.Option(min=1, help="Play only the first USERS users to appear.")]
Speed = Annotated[
    float | None,
    typer.Option(callback=above_zero, help="Speed as a multiple of real time. Default: as fast as possible."),
]
Rate = Annotated[
    float | None,
    typer.Option(
        callback=above_zero, metavar="EVENTS", help="Maximum events per second, to measure latency below saturation."
    ),
]
Window = Annotated[int, typer.Option(min=1, help="Maximum number of events in flight.")]
MaxSkew = Annotated[
    float,
    typer.Option(callback=above_zero, metavar="SECONDS", help="Maximum difference in event time between users."),
]
Deadline = Annotated[float, typer.Option(callback=above_zero, metavar="SECONDS", help="Deadline of each request.")]
ReadyWithin = Annotated[
    float, typer.Option(callback=above_zero, metavar="SECONDS", help="Timeout for the services to become ready.")
]
Output = Annotated[Path, typer.Option(help="Path of the report, without the extensions .json and .png.")]
