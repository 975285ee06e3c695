"""`eddy boards`: Grafana boards, as files and as pictures."""

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    boards = typer.Typer(
        help="Grafana's boards: write them from code, draw them without Grafana.", no_args_is_help=True
    )
    boards.command("write")(write)
    boards.command("draw")(draw)
    app.add_typer(boards, name="boards", rich_help_panel="Maintenance")


def write(
    folder: Annotated[
        Path | None, typer.Option(help="Output folder; observability/boards of the checkout if left out.")
    ] = None,
) -> None:
    """Write every board as JSON for Grafana."""
    from eddy_cli.boards import write_boards

    for path in write_boards(folder):
        print(f"written: {path}")


def draw(
    prometheus: Annotated[str, typer.Argument(help="Address of a Prometheus, e.g. http://127.0.0.1:9090.")],
    folder: Annotated[Path, typer.Argument(help="Output folder.")],
    minutes: Annotated[float, typer.Option(help="Minutes to show, up to now.")] = 15.0,
) -> None:
    """Draw every board as a PNG from the data in Prometheus."""
    from eddy_cli.boards import BOARDS
    from eddy_cli.pictures import draw as draw_board

    for name, board in BOARDS.items():
        path = folder / f"board-{name}.png"
        draw_board(board, prometheus, minutes, path)
        print(f"written: {path}")
