"""The command line app: Eddy's commands, and those of the entry point group `eddy.commands` of installed packages."""

import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import eddy
from eddy.errors import ConfigError, EddyError
from eddy_cli.commands import api_keys, boards, data, docs, doctor, keys, replay, run, topics
from eddy_cli.console import first_error

GROUP = "eddy.commands"
# Packages of optional commands. Without its package, a command prints how to install it.
OPTIONAL_COMMANDS = {"evaluate": "eddy-lab", "bench": "eddy-lab"}


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Run a command. An EddyError ends it with exit code 1 and one line that begins with the command."""
        error: EddyError | None = None
        try:
            return super().invoke(ctx)
        except* EddyError as group:
            error = first_error(group)
        print(f"{ctx.command_path} {ctx.invoked_subcommand}: {error}", file=sys.stderr, flush=True)
        raise typer.Exit(1)


def make_app() -> typer.Typer:
    """The command line with all installed commands."""
    app = typer.Typer(cls=_Commands, no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(_main)
    for commands in (run, replay, doctor, topics, keys, api_keys, data, boards, docs):
        commands.add_to(app)
    contributed = {entry.name: entry for entry in entry_points(group=GROUP)}
    for name, entry in contributed.items():
        app.command(name, rich_help_panel="Research")(entry.load())
    for name in OPTIONAL_COMMANDS.keys() - contributed.keys():
        app.command(name, hidden=True, context_settings={"ignore_unknown_options": True})(
            _missing(OPTIONAL_COMMANDS[name])
        )
    return app


def _missing(package: str) -> Callable[..., None]:
    def command(arguments: Annotated[list[str] | None, typer.Argument(hidden=True)] = None) -> None:
        raise ConfigError(
            f"this command needs the package {package}. Run it in a checkout after `make install`, or install the wheel "
            "that `make wheels` writes to dist/."
        )

    return command


def _show_version(requested: bool) -> None:
    if requested:
        print(f"eddy {eddy.__version__}")
        raise typer.Exit


def _main(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """Eddy: a real-time recommender that learns from its own feedback, on Kafka."""
