"""`eddy keys`: the keys that sign releases of the model."""

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    keys = typer.Typer(help="Keys that sign releases of the model.", no_args_is_help=True)
    keys.callback()(lambda: None)  # keeps `create` a command of its own
    keys.command("create")(create)
    app.add_typer(keys, name="keys", rich_help_panel="Kafka")


def create(
    signing_key: Annotated[
        Path | None, typer.Option(help="New file for the private key; EDDY_TRAINER_SIGNING_KEY if left out.")
    ] = None,
    public_keys: Annotated[
        Path | None,
        typer.Option(help="File to add the public key to; EDDY_RELEASE_PUBLIC_KEYS if left out."),
    ] = None,
) -> None:
    """Create a key for the trainer, and add its public key to those that scorers and the trainer accept."""
    from eddy.contract.releases import key_id
    from eddy.keys import add_public_key, create_signing_key
    from eddy.settings import load
    from eddy_trainer.settings import TrainerSettings

    settings = load(TrainerSettings)
    private, public = signing_key or settings.trainer_signing_key, public_keys or settings.release_public_keys
    key = create_signing_key(private).public_key()
    add_public_key(public, key)
    print(
        f"key {key_id(key)}: the private key is in {private}, for the trainer alone; the public key was added to {public}"
    )
