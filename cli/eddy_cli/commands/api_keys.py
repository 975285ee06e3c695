"""`eddy api-keys`: API keys of the gateway, in a file."""

from pathlib import Path
from typing import Annotated

import typer

File = Annotated[Path, typer.Option(help="Keys file, as in EDDY_GATEWAY_KEYS_FILE.", envvar="EDDY_GATEWAY_KEYS_FILE")]


def add_to(app: typer.Typer) -> None:
    keys = typer.Typer(help="API keys of the gateway: add, list, remove.", no_args_is_help=True)
    keys.command("add")(add)
    keys.command("list")(list_keys)
    keys.command("remove")(remove)
    app.add_typer(keys, name="api-keys", rich_help_panel="Gateway")


def add(
    name: Annotated[str, typer.Argument(help="Name of the caller, in metrics.")],
    file: File = Path("keys.yaml"),
    scope: Annotated[list[str] | None, typer.Option(help="read, write or admin; several are allowed.")] = None,
    tenant: Annotated[str, typer.Option(help="Prefix of every user, item and scenario that the key may name.")] = "",
    scenario: Annotated[
        list[str] | None, typer.Option(help="Scenario that the key may name, instead of those with the prefix.")
    ] = None,
) -> None:
    """Create a key, print it, and add its hash to the file. A second key of a name replaces the first once that is removed."""
    from eddy_cli.api_keys import add_key

    print(add_key(file, name, scope or ["read", "write"], tenant, scenario or None))


def list_keys(file: File = Path("keys.yaml")) -> None:
    """Print name, scopes, tenant and the beginning of the hash of every key."""
    from eddy_gateway.shell.key_store import read_keys

    for key in read_keys(file):
        print(f"{key.name}\t{','.join(sorted(key.scopes))}\t{key.tenant or '-'}\t{key.sha256[:8]}")


def remove(
    name: Annotated[str, typer.Argument(help="Name of the caller.")],
    file: File = Path("keys.yaml"),
    newest: Annotated[
        bool, typer.Option(help="Remove the newest key of the name too, not only the former ones.")
    ] = True,
) -> None:
    """Remove the keys of a name; with --no-newest only the former ones, at the end of a rotation."""
    from eddy_cli.api_keys import remove_keys

    print(f"removed {remove_keys(file, name, keep_newest=not newest)} keys")
