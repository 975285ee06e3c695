"""`eddy data` and `eddy encode`: data sets, and records as bytes."""

import sys
from typing import Annotated

import typer

from eddy_cli.commands.options import datasets


def add_to(app: typer.Typer) -> None:
    app.command("data", rich_help_panel="Data")(data)
    app.command("encode", rich_help_panel="Data")(encode)


def data(
    names: Annotated[
        list[str] | None, typer.Argument(help="ml-100k, ml-1m; both when left out.", autocompletion=datasets)
    ] = None,
) -> None:
    """Download MovieLens data sets."""
    from eddy_cli.datasets.fetch import fetch_named

    for source in fetch_named(names or datasets()):
        print(f"{source.name}: {source.rows:,} events in {source.path}", flush=True)


def _records() -> list[str]:
    from eddy.paths import SCHEMAS

    return sorted(path.stem for path in SCHEMAS.glob("*.avsc"))


def encode(
    record: Annotated[str, typer.Argument(help="Name of the record, e.g. user_event.", autocompletion=_records)],
) -> None:
    """Read one record as JSON from standard input, write the Kafka message to standard output: for tools such as kcat.

    Fields that have a default may be left out.
    """
    from eddy_cli.encode import encoded

    if record not in _records():
        raise typer.BadParameter(f"there is no record {record}: choose one of {', '.join(_records())}")
    sys.stdout.buffer.write(encoded(record, sys.stdin.read()))
