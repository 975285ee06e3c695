"""`eddy run`, `eddy exec` and `eddy broker`: processes on this machine."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from eddy.errors import ConfigError
from eddy_cli.commands.options import services


def add_to(app: typer.Typer) -> None:
    app.command("run", rich_help_panel="Start here")(run)
    app.command("exec", rich_help_panel="Start here", context_settings={"ignore_unknown_options": True})(execute)
    app.command("broker", rich_help_panel="Kafka")(broker)


def run(
    service: Annotated[
        str | None, typer.Argument(help="One service; all five if left out.", autocompletion=services)
    ] = None,
) -> None:
    """Run the five services until Ctrl-C, on EDDY_KAFKA_BOOTSTRAP_SERVERS or on a local Kafka that this starts; or one service alone."""
    if service is None:
        from eddy_cli.stack import run_stack

        raise typer.Exit(run_stack())
    if service not in services():
        raise ConfigError(f"there is no service {service}: choose one of {', '.join(services())}")
    os.execv(sys.executable, [sys.executable, "-m", f"eddy_{service}"])


def execute(
    command: Annotated[list[str], typer.Argument(help="Command and its arguments, after --.", metavar="COMMAND...")],
) -> None:
    """Start the stack, run a command against it, stop the stack; the exit code is the command's.

    The command finds Kafka, the topic prefix and the services in EDDY_* variables: `eddy exec -- eddy replay --limit 1000`.
    """
    from eddy_cli.stack import run_stack

    own = {"python": [sys.executable], "eddy": [sys.executable, "-m", "eddy_cli"]}
    raise typer.Exit(run_stack([*own.get(command[0], command[:1]), *command[1:]]))


def broker(
    port: Annotated[int | None, typer.Option(help="Port for clients; a free one if left out.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder to keep the data in; a temporary one if left out.", resolve_path=True)
    ] = None,
) -> None:
    """Run a real single-node Kafka until Ctrl-C: no Docker, no Java, no root."""
    from eddy_cli.broker import running_broker

    with running_broker(port, data) as started:
        print(f"Kafka is up on {started.bootstrap_servers}; its log: {started.log_file}", flush=True)
        print(f"  export EDDY_KAFKA_BOOTSTRAP_SERVERS={started.bootstrap_servers}", flush=True)
        print(f"Stop it with Ctrl-C; its data {'stays' if data else 'is deleted'}.", flush=True)
        if failure := started.wait():
            raise failure
