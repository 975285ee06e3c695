"""`eddy docs`: generated pages of a checkout."""

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    docs = typer.Typer(help="Generated pages of the checkout.", no_args_is_help=True)
    docs.command("reference")(reference)
    docs.command("notebook")(notebook)
    app.add_typer(docs, name="docs", rich_help_panel="Maintenance")


def reference() -> None:
    """Write docs/metrics.md and docs/settings.md."""
    from eddy_cli.reference import write_pages

    for path in write_pages():
        print(f"written: {path}")


def notebook(
    output: Annotated[
        Path | None, typer.Option(help="Output path of the executed notebook; that of the notebook itself if left out.")
    ] = None,
) -> None:
    """Execute docs/one-event.ipynb on a running stack and keep its output: `eddy exec -- eddy docs notebook`."""
    from eddy_cli.notebook import execute_notebook

    print(f"written: {execute_notebook(output)}")
